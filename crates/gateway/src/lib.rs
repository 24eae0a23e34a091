//! The governed MCP endpoint: both protocol eras, in front of any MCP server.
