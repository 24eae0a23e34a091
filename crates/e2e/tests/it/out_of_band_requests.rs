//! A real server asks on the GET stream of its session, in the middle of a call: through the gateway, clients of either era
//! are asked, and answer.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    Implementation,
};
use rmcp::service::{ClientServiceExt, RequestContext};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::Era;
use crate::gateway::{Gateway, Naming};
use crate::parts;
use crate::rust_client;
use crate::server::Target;

const LIMIT: Duration = Duration::from_secs(60);

/// Calls that are made at once.
const CALLS: usize = 3;

/// A client whose user says its name.
#[derive(Debug)]
struct Somebody;

impl ClientHandler for Somebody {
    fn get_info(&self) -> ClientConfig {
        let able: ClientCapabilities = serde_json::from_value(json!({"elicitation": {}})).unwrap_or_default();
        ClientConfig::new(able, Implementation::new("somebody", "1"))
    }

    async fn create_elicitation(
        &self,
        _asked: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"name": "somebody"})))
    }
}

async fn server(mode: &str) -> Result<(Child, Target)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/asks.mjs");
    let words = parts::node(&script)?;
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .arg(mode)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {words:?}"))?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let line = tokio::time::timeout(LIMIT, lines.next_line())
        .await??
        .context("it ended")?;
    let url = line.strip_prefix("listening on ").context("no address")?.to_owned();
    let token = String::new();
    Ok((child, Target::Http { url, token }))
}

async fn responds(mode: &str, era: Era) -> Result<()> {
    let (_server, target) = server(mode).await?;
    let gateway = Gateway::start(Naming::Plain, &[("asks", &target)]).await?;
    let Target::Http { url, token } = &gateway.target else {
        anyhow::bail!("the gateway is no process");
    };
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    config.auth_header = Some(token.clone());
    let transport = StreamableHttpClientTransport::from_config(config);
    let service = Somebody
        .serve_with_lifecycle(transport, rust_client::lifecycle(era))
        .await?;
    service.list_all_tools().await?;
    let calls = (0..CALLS).map(|_| service.call_tool(CallToolRequestParams::new("ask")));
    let calls = tokio::time::timeout(LIMIT, futures_util::future::join_all(calls)).await;
    for answer in gateway.explain(calls.context("no answer in time"))? {
        let answer = gateway.explain(answer.map_err(Into::into))?;
        let text = serde_json::to_value(&answer)?["content"][0]["text"].clone();
        ensure!(text == "accept somebody", "{answer:?}");
    }
    service.cancel().await?;
    Ok(())
}

portolan_fixtures::matrix! {
    responds: {
        modern_client_with_event_streams("events", Era::Modern),
        modern_client_with_json("json", Era::Modern),
        legacy_client_with_event_streams("events", Era::Legacy),
    }
}
