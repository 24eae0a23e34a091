//! A listener for those who have none: HTTP/1.1 with TCP_NODELAY, bounded, with an orderly end.

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

/// Connections at once.
const CONNECTIONS: usize = 16_384;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// How long calls under way may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves a gateway on `subscriber` until `end` is ready; then takes nothing new, and lets what is under way finish, for at
/// most 30 s.
pub async fn serve(subscriber: TcpListener, gateway: McpGateway, end: impl Future<Output = ()>) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut end = std::pin::pin!(end);
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.map_err(io::Error::other)?,
            () = &mut end => break,
        };
        let stream = tokio::select! {
            accepted = subscriber.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A connection that is gone already, or too many open files: neither ends the listener.
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut end => break,
        };
        // Small events are otherwise held back for up to 40 ms.
        let _ = stream.set_nodelay(true);
        let gateway = gateway.clone();
        // Hyper's own kind of service, which needs no box for each request.
        let answer = move |request: Request<Incoming>| {
            let gateway = gateway.clone();
            async move { Ok::<Response<Body>, Infallible>(gateway.respond(request).await) }
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(YieldingIo::new(TokioIo::new(stream)), service_fn(answer));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(subscriber);
    // Streams outside of calls would never end by themselves.
    let drained = tokio::time::timeout(DRAIN, graceful.shutdown());
    let _ = tokio::join!(gateway.drain(DRAIN), drained);
    Ok(())
}
