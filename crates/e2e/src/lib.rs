//! Real MCP clients against real MCP servers, through the gateway. Only tests: `cargo xtask test --only e2e`.
