//! A platform in a directory of its own, and servers to put behind it.

use std::{future::Future, path::PathBuf, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use portolan::{Platform, Secret, ServerSpec};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// A directory with the database of a platform.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("app.db")
    }

    pub(crate) async fn platform(&self) -> Platform {
        Platform::local(self.database()).await.expect("a platform")
    }
}

/// A stdio server with the tools `greet` and `add`.
pub(crate) fn stdio(name: &str) -> ServerSpec {
    let test = std::env::current_exe().expect("this program");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("the profile's folder");
    let program = profile.join("examples/quickstart");
    ServerSpec::command(name, program.to_string_lossy(), ["--be-demo-server"]).expect("a spec")
}

/// The process ids of the children of this process.
#[cfg(target_os = "linux")]
pub(crate) fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Serves a router until `end` is ready; gives its address.
pub(crate) async fn listen(
    app: axum::Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(end).await;
        served.expect("served");
    });
    (format!("http://{address}"), serving)
}

type Http = Client<HttpConnector, Full<Bytes>>;

/// Sends one request of a modern client.
pub(crate) async fn ask(url: &str, token: &Secret, method: &str, params: Value) -> (u16, Value) {
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let response = http
        .request(modern(url, token, method, params))
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    (status, body(response).await)
}

/// Opens the GET stream of a legacy session at `url`, and leaves it open.
pub(crate) async fn legacy_stream(url: &str, token: &Secret) -> Response<hyper::body::Incoming> {
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    }});
    let post = request("POST", url, token)
        .body(Full::from(message.to_string()))
        .expect("a request");
    let opened = http.request(post).await.expect("an answer");
    let session = opened.headers()["mcp-session-id"].clone();
    let get = request("GET", url, token)
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", "2025-11-25")
        .body(Full::default())
        .expect("a request");
    let stream = http.request(get).await.expect("a stream");
    assert_eq!(stream.status(), 200);
    stream
}

fn modern(url: &str, token: &Secret, method: &str, mut params: Value) -> Request<Full<Bytes>> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    });
    let mut request = request("POST", url, token)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if let Some(name) = params["name"].as_str() {
        request = request.header("mcp-name", name);
    }
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    request.body(Full::from(message.to_string())).expect("a request")
}

fn request(verb: &str, url: &str, token: &Secret) -> http::request::Builder {
    Request::builder()
        .method(verb)
        .uri(url)
        .header("authorization", format!("Bearer {}", token.reveal()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
}

async fn body(response: Response<hyper::body::Incoming>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
