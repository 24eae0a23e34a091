//! The gateway in an axum application.

use axum::Router;

use crate::McpGateway;

impl McpGateway {
    /// A router with this gateway at `/mcp/{gateway}`, to merge into an application's own.
    ///
    /// `axum::serve` leaves Nagle's algorithm on, which holds back small events; set TCP_NODELAY on its listener
    /// (`axum::serve::ListenerExt::tap_io`), or use `serve` of this crate.
    pub fn into_router(self) -> Router {
        Router::new().route_service("/mcp/{gateway}", self)
    }
}
