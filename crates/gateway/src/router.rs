//! The gateway in an axum application.

use axum::Router;

use crate::McpGateway;

impl McpGateway {
    /// Returns a router with this gateway at `<path>/{gateway}`, `/mcp/{gateway}` by default
    /// ([`GatewayConfig::path`](crate::GatewayConfig::path)), to merge into an application's own. To nest it instead, give
    /// `nest_service` the gateway [at the empty path](Self::at_path).
    ///
    /// `axum::serve` leaves Nagle's algorithm on, which holds back small events; set TCP_NODELAY on its listener
    /// (`axum::serve::ListenerExt::tap_io`), or use `serve` of this crate.
    pub fn into_router(self) -> Router {
        let route = format!("{}/{{gateway}}", self.path().trim_end_matches('/'));
        Router::new().route_service(&route, self)
    }
}
