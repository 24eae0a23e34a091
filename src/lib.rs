//! An embeddable MCP platform.
pub use portolan_gateway::{serve, GatewayConfig, Hosts, McpGateway, StaticTokens, Upstream, digest};
pub use portolan_core::*;
