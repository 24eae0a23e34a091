//! MCP servers as supervised child processes.
