//! The client `rmcp`, in this process.

mod handler;
mod operations;

use anyhow::{Context, Result};
use rmcp::RoleClient;
use rmcp::model::ProtocolVersion;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::Value;
use tokio::process::Command;

use self::handler::Handler;
use self::operations::Operations;
use crate::client::Era;
use crate::server::Target;

type Running = RunningService<RoleClient, Handler>;

/// Runs a script; its outcomes.
pub(crate) async fn play(era: Era, target: &Target, script: &Value) -> Result<Vec<Value>> {
    let handler = Handler::new(&script["answers"]);
    let heard = handler.heard.clone();
    let service = connect(era, target, handler).await?;
    let mut operations = Operations::new(&service, heard);
    let mut outcomes = Vec::new();
    for operation in script["operations"].as_array().context("the operations are no list")? {
        outcomes.push(operations.perform(operation).await);
    }
    operations.close().await;
    service.cancel().await?;
    Ok(outcomes)
}

async fn connect(era: Era, target: &Target, handler: Handler) -> Result<Running> {
    Ok(match target {
        Target::Http { url, token } => {
            let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
            config.auth_header = (!token.is_empty()).then(|| token.clone());
            let transport = StreamableHttpClientTransport::from_config(config);
            handler.serve_with_lifecycle(transport, lifecycle(era)).await?
        }
        Target::Stdio(words) => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            let (transport, _) = TokioChildProcess::builder(command)
                .stderr(std::process::Stdio::null())
                .spawn()?;
            handler.serve_with_lifecycle(transport, lifecycle(era)).await?
        }
    })
}

pub(crate) fn lifecycle(era: Era) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::LATEST];
    match era {
        Era::Legacy => ClientLifecycleMode::Initialize,
        Era::Modern => ClientLifecycleMode::Discover { preferred_versions },
        Era::Auto => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: None,
        },
    }
}
