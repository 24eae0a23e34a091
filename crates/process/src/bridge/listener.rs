//! Accepts connections.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::task::TaskTracker;

use super::service::Bridge;

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The same during shutdown.
const SHUTDOWN_HEADER_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens on all addresses, IPv6 and IPv4 if the machine has both.
pub(super) async fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

/// Accepts connections for ever. Each is tracked by `connections` while it is open.
pub(super) async fn accept(listener: TcpListener, bridge: Arc<Bridge>, connections: TaskTracker) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(send) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let bridge = bridge.clone();
                connections.spawn(async move {
                    serve(stream, bridge).await;
                    drop(send);
                });
            }
            // A connection that is closed already, or too many open files: neither ends the listener.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, bridge: Arc<Bridge>) {
    // Small events are otherwise held back for up to 40 ms.
    let _ = stream.set_nodelay(true);
    let shutdown = bridge.shutdown.clone();
    let answer = move |request: Request<Incoming>| {
        let bridge = bridge.clone();
        async move { Ok::<_, Infallible>(bridge.respond(request).await) }
    };
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    if shutdown.is_cancelled() {
        // One request is answered, with the refusal of a shutdown.
        http.header_read_timeout(SHUTDOWN_HEADER_TIMEOUT).keep_alive(false);
        let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        return;
    }
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // A client that has gone is no failure of the bridge.
    let _ = connection.await;
}
