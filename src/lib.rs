//! An embeddable MCP platform.
