//! The client `rmcp`, in this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientCapabilities, ClientConfig, ClientRequest, Implementation,
    ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RunningService, ServiceError,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::{Document, Era};
use crate::server::Target;

type Running = RunningService<RoleClient, Handler>;

pub(crate) async fn run(era: Era, target: &Target, calls: &Value) -> Result<Document> {
    let handler = Handler::default();
    let progress = handler.progress.clone();
    let service = match target {
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
    };
    let tools = service.list_all_tools().await?;
    let tools = tools.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    let mut results = Vec::new();
    for call in calls.as_array().context("the calls are no list")? {
        let mut outcome = perform(&service, call).await?;
        if !progress.lock().is_empty() {
            // Events are handled beside the answer: the last of them may still be under way.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        outcome["progress"] = Value::Array(progress.take());
        results.push(outcome);
    }
    service.cancel().await?;
    Ok(Document { tools, results })
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

async fn perform(service: &Running, call: &Value) -> Result<Value> {
    let name = call["name"].as_str().context("a call has no name")?.to_owned();
    let mut params = CallToolRequestParams::new(name);
    params.arguments = call["arguments"].as_object().cloned();
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    let mut handle = service
        .send_cancellable_request(request, PeerRequestOptions::no_options())
        .await?;
    let limit = Duration::from_millis(call["cancelAfterMs"].as_u64().unwrap_or(60_000));
    let Ok(answer) = tokio::time::timeout(limit, &mut handle.rx).await else {
        handle.cancel(Some("the test cancels".to_owned())).await?;
        return Ok(json!({ "error": { "message": "cancelled" } }));
    };
    Ok(match answer? {
        Ok(result) => json!({ "result": result }),
        Err(ServiceError::McpError(error)) => json!({ "error": error }),
        Err(other) => return Err(other.into()),
    })
}

/// Notes the progress of the call that is under way.
#[derive(Debug, Default)]
struct Handler {
    progress: Events,
}

#[derive(Clone, Debug, Default)]
struct Events(Arc<Mutex<Vec<Value>>>);

impl Events {
    fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.lock())
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("rmcp", "3"))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        let mut event = json!(params);
        if let Some(event) = event.as_object_mut() {
            event.remove("progressToken");
        }
        self.progress.lock().push(event);
    }
}
