//! The role `hyper-proxy`: a minimal reverse proxy on hyper, with which the gateway is compared.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, header};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::args::ProxyOptions;
use crate::{Result, pin, usage};

/// Forwards requests until the process is killed.
pub(crate) async fn serve(options: ProxyOptions) -> Result<()> {
    usage::end_with_parent();
    if let Some(core) = options.core {
        pin::to(core)?;
    }
    let target: Uri = options.to.parse()?;
    let authority = Arc::new(target.authority().ok_or("--to names no host")?.clone());
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on http://{}{}", listener.local_addr()?, target.path());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, authority) = (client.clone(), authority.clone());
        let service = service_fn(move |request| forward(client.clone(), authority.clone(), request));
        // A client that disconnects ends this with an error, which has no consequence.
        tokio::spawn(async move {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    authority: Arc<Authority>,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::clone(&authority));
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    request.headers_mut().remove(header::HOST);
    client.request(request).await
}
