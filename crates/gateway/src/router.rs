//! The gateway in an axum application.

use axum::Router;

use crate::McpGateway;

impl McpGateway {
    /// Returns a router with this gateway at `/mcp/{gateway}`, to merge into an application's own router.
    ///
    /// `axum::serve` leaves Nagle's algorithm on, which delays small events; set TCP_NODELAY on its listener
    /// (`axum::serve::ListenerExt::tap_io`), or use `serve` of this crate.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
    /// let gateway = portolan_gateway::McpGateway::builder().build()?;
    /// let app: axum::Router = axum::Router::new().merge(gateway.into_router());
    /// # let _ = app;
    /// # Ok::<(), portolan_core::Error>(())
    /// # }).expect("a router");
    /// ```
    pub fn into_router(self) -> Router {
        Router::new().route_service("/mcp/{gateway}", self)
    }
}
