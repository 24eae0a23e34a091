//! A simple HTTP/1.1 server for a gateway, with TCP_NODELAY, a connection limit, and graceful shutdown.

mod yielding_io;

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::Semaphore};

use self::yielding_io::YieldingIo;
use crate::{McpGateway, body::Body};

/// The maximum number of concurrent connections.
const CONNECTIONS: usize = 16_384;
/// The maximum time for a client to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// The maximum time for calls in flight after `end`.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves a gateway on `listener` until `end` resolves; then accepts no more connections, and lets calls in flight finish
/// for at most 30 seconds. Accepts at most 16,384 connections at once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let gateway = portolan_gateway::McpGateway::builder().build().map_err(std::io::Error::other)?;
/// portolan_gateway::serve(listener, gateway, async {}).await?;
/// # Ok::<(), std::io::Error>(())
/// # }).expect("served");
/// ```
///
/// # Errors
///
/// Does not fail at present: a connection that cannot be accepted is logged and skipped.
pub async fn serve(listener: TcpListener, gateway: McpGateway, end: impl Future<Output = ()>) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut end = std::pin::pin!(end);
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit.map_err(io::Error::other)?,
            () = &mut end => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A closed connection, or too many open files: neither stops the listener.
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut end => break,
        };
        // Nagle's algorithm would delay small events by up to 40 ms.
        let _ = stream.set_nodelay(true);
        let gateway = gateway.clone();
        // A hyper service, which needs no allocation per request.
        let service = move |request: Request<Incoming>| {
            let gateway = gateway.clone();
            async move { Ok::<Response<Body>, Infallible>(gateway.respond(request).await) }
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(YieldingIo::new(TokioIo::new(stream)), service_fn(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    // Notification streams would never end by themselves.
    let drained = tokio::time::timeout(DRAIN, graceful.shutdown());
    let _ = tokio::join!(gateway.drain(DRAIN), drained);
    Ok(())
}
