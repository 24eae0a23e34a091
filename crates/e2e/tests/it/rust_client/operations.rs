//! The operations of the client: see `clients/operations.mjs`, of which this is the same in Rust.
#![expect(deprecated, reason = "what is deprecated is still to be relayed")]

use std::cmp::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ErrorCode, ListToolsRequest, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, RequestMetaObject, ServerNotification, ServerResult, SubscriptionFilter,
};
use rmcp::service::{PeerRequestOptions, ServiceError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Running;
use super::handler::Heard;

const LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Operations<'a> {
    service: &'a Running,
    heard: Heard,
    is_modern: bool,
    level: Option<Value>,
    watched: Vec<String>,
    listening: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl<'a> Operations<'a> {
    pub(super) fn new(service: &'a Running, heard: Heard) -> Self {
        let version = service.peer_info().map(|info| info.protocol_version.clone());
        Self {
            service,
            heard,
            is_modern: version.is_some_and(|version| version >= ProtocolVersion::V_2026_07_28),
            level: None,
            watched: Vec::new(),
            listening: None,
        }
    }

    pub(super) async fn perform(&mut self, operation: &Value) -> Value {
        self.heard.lock().begin();
        let work = tokio::time::timeout(LIMIT, self.attempt(operation));
        let mut outcome = match work.await {
            Ok(Ok(result)) => json!({ "result": result }),
            Ok(Err(error)) => match error.downcast_ref::<ServiceError>() {
                Some(ServiceError::McpError(error)) => json!({ "error": error }),
                _ => json!({ "error": { "code": null, "message": format!("{error:#}") } }),
            },
            Err(_) => json!({ "error": { "code": null, "message": format!("no end after {LIMIT:?}") } }),
        };
        let logs = operation["logs"].as_u64().unwrap_or_default();
        let enough = |heard: &Heard| heard.lock().logs.len() as u64 >= logs;
        self.heard.until(Duration::from_secs(3), enough).await;
        if !self.heard.lock().progress.is_empty() {
            // Events are handled beside the answer: the last of them may still be under way.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut heard = self.heard.lock();
        // They are also handled beside each other, so that they are heard in any order.
        heard.logs.sort_by_key(ToString::to_string);
        heard.progress.sort_by(|one, other| {
            one["progress"]
                .as_f64()
                .partial_cmp(&other["progress"].as_f64())
                .unwrap_or(Ordering::Equal)
        });
        outcome["progress"] = json!(heard.progress);
        outcome["logs"] = json!(heard.logs);
        outcome["asked"] = json!(heard.asked);
        outcome
    }

    pub(super) async fn close(self) {
        if let Some((stop, listening)) = self.listening {
            let _ = stop.send(());
            let _ = listening.await;
        }
    }

    async fn attempt(&mut self, operation: &Value) -> Result<Value> {
        let text = |key: &str| operation[key].as_str().with_context(|| format!("{key} is no text"));
        let service = self.service;
        match text("do")? {
            "list" => match text("what")? {
                "tools" => shown(service.list_all_tools().await),
                "prompts" => shown(service.list_all_prompts().await),
                "resources" => shown(service.list_all_resources().await),
                _ => shown(service.list_all_resource_templates().await),
            },
            "call" => self.call(operation).await,
            "prompt" => shown(service.get_prompt(params(operation)?).await),
            "read" => shown(service.read_resource(params(operation)?).await),
            "complete" => shown(service.complete(params(operation)?).await),
            "ping" => {
                let ping = ClientRequest::PingRequest(Default::default());
                service.send_request(ping).await?;
                Ok(json!({}))
            }
            "level" => {
                self.level = Some(operation["level"].clone());
                if !self.is_modern {
                    service.set_level(params(operation)?).await?;
                }
                Ok(json!({}))
            }
            "watch" => self.watch(serde_json::from_value(operation["uris"].clone())?).await,
            "unwatch" => self.unwatch().await,
            "stir" => self.stir(operation, text("until")?).await,
            other => bail!("this client cannot {other}"),
        }
    }

    async fn call(&self, call: &Value) -> Result<Value> {
        let mut params: CallToolRequestParams = params(call)?;
        if let Some(level) = self.level.clone().filter(|_| self.is_modern) {
            let mut meta = RequestMetaObject::new();
            meta.set_log_level(serde_json::from_value(level)?);
            params.meta = Some(meta);
        }
        let Some(limit) = call["cancelAfterMs"].as_u64() else {
            return self.call_and_mend(params).await;
        };
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::no_options();
        let mut handle = self.service.send_cancellable_request(request, options).await?;
        match tokio::time::timeout(Duration::from_millis(limit), &mut handle.rx).await {
            Ok(answer) => shown(answer?),
            Err(_) => {
                handle.cancel(Some("the test cancels".to_owned())).await?;
                Err(anyhow!("cancelled"))
            }
        }
    }

    /// A client whose headers do not fit refreshes its list and calls again (2026-07-28, basic/transports). `rmcp` leaves
    /// that to its user, and does not see what to mirror in a list that came in one read with the end of its stream.
    async fn call_and_mend(&self, params: CallToolRequestParams) -> Result<Value> {
        for _ in 0..5 {
            match self.service.call_tool(params.clone()).await {
                Err(ServiceError::McpError(error)) if error.code == ErrorCode::HEADER_MISMATCH => {
                    self.refresh().await?
                }
                answer => return shown(answer),
            }
        }
        shown(self.service.call_tool(params).await)
    }

    /// Lists the tools past what the client remembers.
    async fn refresh(&self) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let list = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(page));
            match self.service.send_request(list).await? {
                ServerResult::ListToolsResult(ListToolsResult { next_cursor: None, .. }) => return Ok(()),
                ServerResult::ListToolsResult(list) => cursor = list.next_cursor,
                other => bail!("{other:?} is no list of tools"),
            }
        }
    }

    async fn watch(&mut self, uris: Vec<String>) -> Result<Value> {
        self.watched.clone_from(&uris);
        if !self.is_modern {
            for uri in &uris {
                self.service.subscribe(params(&json!({ "uri": uri }))?).await?;
            }
            return Ok(json!({}));
        }
        let filter = SubscriptionFilter::builder()
            .tools_list_changed()
            .prompts_list_changed()
            .resources_list_changed()
            .resource_subscriptions(uris)
            .build();
        let mut subscription = self.service.listen(filter).await?;
        let (stop, mut stopped) = oneshot::channel();
        let heard = self.heard.clone();
        let listening = tokio::spawn(async move {
            loop {
                tokio::select! {
                    next = subscription.next() => match next {
                        Ok(Some(notification)) => note(&heard, &notification),
                        _ => return,
                    },
                    _ = &mut stopped => break,
                }
            }
            let _ = subscription.cancel().await;
        });
        self.listening = Some((stop, listening));
        Ok(json!({}))
    }

    async fn unwatch(&mut self) -> Result<Value> {
        if self.is_modern {
            let (stop, listening) = self.listening.take().context("nothing is watched")?;
            let _ = stop.send(());
            listening.await?;
        } else {
            for uri in &self.watched {
                self.service.unsubscribe(params(&json!({ "uri": uri }))?).await?;
            }
        }
        Ok(json!({}))
    }

    async fn stir(&self, operation: &Value, until: &str) -> Result<Value> {
        let before = self.heard.told(until);
        let is_told = |heard: &Heard| heard.told(until) > before;
        let tries = operation["tries"].as_u64().unwrap_or(15);
        let mut calls = 0;
        while !is_told(&self.heard) && calls < tries {
            self.call(&operation["call"]).await?;
            calls += 1;
            self.heard.until(Duration::from_secs(1), is_told).await;
        }
        if !is_told(&self.heard) {
            bail!("nothing was told of {until} in {calls} calls");
        }
        if let Some(name) = operation["shows"]["name"].as_str() {
            let is_there = match operation["shows"]["what"].as_str() {
                Some("tools") => self
                    .service
                    .list_all_tools()
                    .await?
                    .iter()
                    .any(|tool| tool.name == name),
                Some("prompts") => self
                    .service
                    .list_all_prompts()
                    .await?
                    .iter()
                    .any(|one| one.name == name),
                _ => self
                    .service
                    .list_all_resources()
                    .await?
                    .iter()
                    .any(|one| one.name == name),
            };
            if is_there != (calls % 2 == 1) {
                bail!(
                    "after {calls} calls, {name} is {}there",
                    if is_there { "" } else { "not " }
                );
            }
        }
        Ok(json!({}))
    }
}

fn note(heard: &Heard, notification: &ServerNotification) {
    match notification {
        ServerNotification::ToolListChangedNotification(_) => heard.note("tools"),
        ServerNotification::PromptListChangedNotification(_) => heard.note("prompts"),
        ServerNotification::ResourceListChangedNotification(_) => heard.note("resources"),
        ServerNotification::ResourceUpdatedNotification(updated) => heard.note(&updated.params.uri),
        _ => {}
    }
}

fn params<T: DeserializeOwned>(operation: &Value) -> Result<T> {
    Ok(serde_json::from_value(operation.clone())?)
}

fn shown(result: Result<impl Serialize, ServiceError>) -> Result<Value> {
    Ok(serde_json::to_value(result?)?)
}
