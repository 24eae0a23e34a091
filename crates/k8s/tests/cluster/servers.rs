//! The servers of the tests, and an HTTP client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use portolan_core::{Endpoint, InstallName, Owner, RunSpec, Runtime, ServerName, ServerSpec, Source, Transport};
use portolan_k8s::KubeRuntime;

pub(crate) const HTTP_IMAGE: &str = "docker.io/local/portolan-http-server:1";
pub(crate) const PAUSE: &str = "docker.io/local/portolan-pause:1";
pub(crate) const BUSYBOX: &str = "docker.io/local/portolan-busybox:1";

pub(crate) const NODE: &str = "docker.io/local/portolan-node:1";
pub(crate) const BRIDGE: &str = "docker.io/local/portolan-bridge:1";

/// The reference server of the protocol, over stdio: a command in the base image, below the bridge.
pub(crate) fn everything() -> ServerSpec {
    let script = "/app/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    ServerSpec::command("everything", "node", [script, "stdio"]).expect("a server")
}

/// The HTTP image, as a server of the catalogue.
pub(crate) fn http_server() -> ServerSpec {
    ServerSpec::new(ServerName::parse("http").expect("a name"), http().source).expect("a server")
}

/// Returns the run spec of a server.
pub(crate) fn run(server: &ServerSpec) -> RunSpec {
    let mut spec = RunSpec::new(server.name.clone(), Owner::Org, server.source.clone());
    spec.kubernetes = server.kubernetes.clone();
    spec
}

/// A server that speaks HTTP itself.
pub(crate) fn http() -> RunSpec {
    image(HTTP_IMAGE)
}

/// An image that speaks HTTP on port 8080.
pub(crate) fn image(image: &str) -> RunSpec {
    spec(image, None, &[])
}

/// A shell script in a small image, which answers HTTP with `ok` until it ends.
pub(crate) fn script(script: &str) -> RunSpec {
    spec(BUSYBOX, Some("sh"), &["-c", script])
}

fn spec(image: &str, program: Option<&str>, args: &[&str]) -> RunSpec {
    let source = Source::Image {
        image: image.into(),
        program: program.map(Into::into),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        transport: Transport::Http {
            port: 8080,
            path: "/mcp".into(),
        },
    };
    RunSpec::new(ServerName::parse("server").expect("a name"), Owner::Org, source)
}

pub(crate) type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

pub(crate) fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Returns the URL of `path` at the server's endpoint.
pub(crate) async fn url(runtime: &KubeRuntime, name: &InstallName, path: &str) -> String {
    let Endpoint::Http(endpoint) = runtime.endpoint(name).await.expect("an endpoint") else {
        panic!("it is reached by HTTP");
    };
    endpoint.url.join(path).expect("a URL").into()
}

/// Sends a GET request, and fails for anything but 200.
pub(crate) async fn get(client: &Http, url: &str) -> Result<Bytes, String> {
    let request = Request::get(url).body(Full::default()).map_err(|e| e.to_string())?;
    let asked = tokio::time::timeout(Duration::from_secs(10), client.request(request)).await;
    let response: Response<_> = asked
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|e| format!("{e:?}"))?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|e| e.to_string())?
        .to_bytes();
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)))
    }
}
