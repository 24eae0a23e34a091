//! Servers that show callers other things: their lists, and what is found by them, per credential scope.

mod catalogues;
mod sharing;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::header;
use portolan_core::{Caller, CredentialBroker, CredentialContext, Install, Result, Secret, UpstreamCredential};

use crate::support::{
    gateway::{TestGateway, TestGatewayBuilder},
    servers::{Reply, Request, ScriptedServer, modern, scripted},
};

/// A broker that answers each caller as the test says.
struct CallerBroker(Box<Credential>);

type Credential = dyn Fn(&str) -> UpstreamCredential + Send + Sync;

impl CallerBroker {
    fn new(credential: impl Fn(&str) -> UpstreamCredential + Send + Sync + 'static) -> Self {
        Self(Box::new(credential))
    }

    /// Sends servers the caller's name as the token, without a scope.
    fn by_name() -> Self {
        Self::new(bearer)
    }
}

#[async_trait]
impl CredentialBroker for CallerBroker {
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        let caller = context.caller.subject.to_string();
        let name = caller.strip_prefix("user:").expect("a user");
        Ok(Arc::new((self.0)(name)))
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}

impl fmt::Debug for CallerBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerBroker")
    }
}

fn bearer(token: &str) -> UpstreamCredential {
    let value = Secret::new(format!("Bearer {token}"));
    UpstreamCredential::none().with_header(header::AUTHORIZATION, value)
}

/// The token that a request came with.
fn token(request: &Request) -> &str {
    let value = request.header("authorization").unwrap_or_default();
    value.strip_prefix("bearer ").unwrap_or("none")
}

const ALICES: &str = r#"{"name":"shared","description":"of alice","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}},"annotations":{"destructiveHint":false}},{"name":"only_alice","inputSchema":{"type":"object"},"annotations":{"destructiveHint":false}}"#;
const OTHERS: &str = r#"{"name":"shared","description":"of others","inputSchema":{"type":"object","properties":{"region":{"type":"string"}}},"annotations":{"destructiveHint":true}}"#;

/// A modern server that lists more, and other things under the same name, where the token is alice's.
async fn personal() -> ScriptedServer {
    scripted(|request| {
        let is_alice = token(request).starts_with("alice");
        let list = |member: &str, items: &str| {
            let hints = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;
            Reply::result(request, format!(r#"{{"{member}":[{items}],{hints}}}"#))
        };
        match request.method() {
            "server/discover" => Reply::result(
                request,
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"prompts":{},"resources":{}},"ttlMs":0,"cacheScope":"private"}"#,
            ),
            "tools/list" => list("tools", if is_alice { ALICES } else { OTHERS }),
            "prompts/list" if is_alice => list("prompts", r#"{"name":"hers"}"#),
            "prompts/list" => list("prompts", ""),
            "prompts/get" => Reply::result(request, r#"{"resultType":"complete","messages":[]}"#),
            "tools/call" => {
                let region = request.header("mcp-param-region").unwrap_or("-");
                let text = format!("{} {region}", token(request));
                Reply::result(
                    request,
                    format!(r#"{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}"#),
                )
            }
            _ => modern(request).unwrap_or_else(|| Reply::error(request, -32601, "none").with_status(404)),
        }
    })
    .await
}

/// A gateway in front of it.
fn gateway<'a>(upstream: &ScriptedServer, broker: CallerBroker) -> TestGatewayBuilder<'a> {
    TestGateway::builder().server("up", upstream.url()).broker(broker)
}
