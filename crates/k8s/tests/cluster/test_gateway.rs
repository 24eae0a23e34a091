//! A gateway over the runtime, with a client of protocol version 2026-07-28.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use portolan_core::{
    AllowAll, Clock, Gateway, GatewayName, GatewaySpec, Install, InstallName, Owner, Publication, Route, Runtime,
    ServerSpec, SystemClock, TraceAudit,
    memory::{MemorySessions, NoCredentials},
};
use portolan_gateway::{GatewayConfig, GatewayParts, McpGateway, StaticTokens, TokenKeys, digest};
use serde_json::{Value, json};

/// A gateway that serves one install.
pub(crate) struct TestGateway {
    gateway: McpGateway,
    next: AtomicU64,
}

impl TestGateway {
    pub(crate) async fn new(runtime: Option<Arc<dyn Runtime>>, server: &ServerSpec, install: InstallName) -> Self {
        let gateway = McpGateway::new(GatewayParts {
            config: GatewayConfig::default(),
            keys: TokenKeys::random().expect("keys"),
            authenticators: vec![Arc::new(
                StaticTokens::from_users([("alice", digest("alice-token"))]).expect("tokens"),
            )],
            guards: Vec::new(),
            policy: Arc::new(AllowAll),
            broker: Arc::new(NoCredentials),
            runtime,
            sessions: Arc::new(MemorySessions::default()),
            bus: None,
            audit: Arc::new(TraceAudit),
            clock: Arc::new(SystemClock),
        });
        let install = Install::new(install, server.name.clone(), Owner::Org, SystemClock.now());
        let routes = vec![Route::new(Arc::new(server.clone()), vec![Arc::new(install)], true)];
        let spec = GatewaySpec::new(GatewayName::parse("default").expect("a name"));
        Gateway::publish(&gateway, Publication::new(spec, routes))
            .await
            .expect("published");
        Self {
            gateway,
            next: AtomicU64::new(1),
        }
    }

    /// Calls a tool and returns its text, or the whole message if it is an error.
    pub(crate) async fn text(&self, tool: &str, arguments: Value) -> Result<String, Value> {
        let answer = self.call(tool, arguments).await;
        let is_error = answer["result"]["isError"] == true;
        match answer["result"]["content"][0]["text"].as_str() {
            Some(text) if !is_error => Ok(text.to_owned()),
            _ => Err(answer),
        }
    }

    /// Calls a tool and returns the response message.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "_meta": meta, "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string();
        let request = Request::post("http://localhost/mcp/default")
            .header("host", "localhost")
            .header("authorization", "Bearer alice-token")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .body(Full::<Bytes>::from(body))
            .expect("a request");
        let response = self.gateway.respond(request).await;
        let status = response.status();
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status == StatusCode::OK || text.starts_with('{'), "{status}: {text}");
        // An event stream ends with the answer.
        let last = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
        serde_json::from_str(last.unwrap_or(&text).trim()).expect("JSON")
    }
}
