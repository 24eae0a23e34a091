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
/// The maximum time for child processes once the rest is to be cut short.
const SHORT_STOP: Duration = Duration::from_secs(2);

/// Serves a gateway on `listener` until `end` resolves; then accepts no more connections, lets calls in flight finish for
/// at most [`Timeouts::drain`](crate::Timeouts::drain), and ends the child processes of `Upstream::command` in order.
/// When this returns, none is left. Accepts at most 16,384 connections at once.
///
/// A program that is stopped by signals uses [`serve_until`], which a second signal cuts short.
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
    serve_until(listener, gateway, end, std::future::pending()).await
}

/// Serves a gateway as [`serve`] does. After `end`, `now` is awaited too, and cuts short what is left: calls in flight are
/// given up, and child processes have 2 s to end in order.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let gateway = portolan_gateway::McpGateway::builder().build().map_err(std::io::Error::other)?;
/// // The first and the second signal: `portolan::stop_signal()`, and `async { portolan::stop_signal().await }`.
/// let (first, second) = (async {}, std::future::pending());
/// portolan_gateway::serve_until(listener, gateway, first, second).await?;
/// # Ok::<(), std::io::Error>(())
/// # }).expect("served");
/// ```
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_until(
    listener: TcpListener,
    gateway: McpGateway,
    end: impl Future<Output = ()>,
    now: impl Future<Output = ()>,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    accept(listener, &gateway, &graceful, end).await?;
    let ending = async {
        let drain = gateway.drain_timeout();
        // Notification streams would never end by themselves.
        let drained = tokio::time::timeout(drain, graceful.shutdown());
        let _ = tokio::join!(gateway.drain(drain), drained);
        gateway.stop_children(None).await;
    };
    tokio::select! {
        () = ending => {}
        () = now => gateway.stop_children(Some(SHORT_STOP)).await,
    }
    Ok(())
}

/// Accepts connections until `end` resolves.
async fn accept(
    listener: TcpListener,
    gateway: &McpGateway,
    graceful: &GracefulShutdown,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut end = std::pin::pin!(end);
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit.map_err(io::Error::other)?,
            () = &mut end => return Ok(()),
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
            () = &mut end => return Ok(()),
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
}
