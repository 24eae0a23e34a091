//! The notifications and requests that the client receives, and its responses.
#![expect(deprecated, reason = "what is deprecated is still to be relayed")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams,
    ElicitResult, Implementation, ListRootsResult, LoggingMessageNotificationParam, ProgressNotificationParam,
    ResourceUpdatedNotificationParam,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A client with these answers; without any, it says that it cannot be asked.
#[derive(Debug)]
pub(super) struct Handler {
    answers: Value,
    pub(super) heard: Heard,
}

/// What came from the server by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) progress: Vec<Value>,
    pub(super) logs: Vec<Value>,
    pub(super) asked: Vec<Value>,
    /// How often something was told to have changed, by its name or URI.
    told: HashMap<String, usize>,
}

impl Notes {
    /// Forgets what belongs to one operation.
    pub(super) fn begin(&mut self) {
        self.progress.clear();
        self.logs.clear();
        self.asked.clear();
    }
}

impl Heard {
    pub(super) fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self, what: &str) -> usize {
        self.lock().told.get(what).copied().unwrap_or_default()
    }

    pub(super) fn note(&self, what: &str) {
        *self.lock().told.entry(what.to_owned()).or_default() += 1;
    }

    /// Waits until it is so, at most this long.
    pub(super) async fn until(&self, limit: Duration, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(limit, wait).await;
    }
}

impl Handler {
    pub(super) fn new(answers: &Value) -> Self {
        Self {
            answers: answers.clone(),
            heard: Heard::default(),
        }
    }

    fn answer<T: DeserializeOwned>(&self, asked: Value, answer: &Value) -> Result<T, ErrorData> {
        self.heard.lock().asked.push(asked);
        serde_json::from_value(answer.clone()).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities = match &self.answers {
            Value::Null => json!({}),
            _ => json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": { "listChanged": true } }),
        };
        let capabilities: ClientCapabilities = serde_json::from_value(capabilities).unwrap_or_default();
        ClientConfig::new(capabilities, Implementation::new("rmcp", "3"))
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let asked = without_meta(json!(params));
        let forms = &self.answers["elicit"];
        let form = asked["message"].as_str().and_then(|message| forms.get(message));
        self.answer(asked.clone(), form.unwrap_or_else(|| &forms["*"]))
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        self.answer(without_meta(json!(params)), &self.answers["sample"])
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        self.answer(json!({}), &json!({ "roots": self.answers["roots"] }))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let mut event = json!(params);
        if let Some(event) = event.as_object_mut() {
            event.remove("progressToken");
        }
        self.heard.lock().progress.push(event);
    }

    async fn on_logging_message(&self, params: LoggingMessageNotificationParam, _: NotificationContext<RoleClient>) {
        self.heard.lock().logs.push(without_meta(json!(params)));
    }

    async fn on_resource_updated(&self, params: ResourceUpdatedNotificationParam, _: NotificationContext<RoleClient>) {
        self.heard.note(&params.uri);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard.note("tools");
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard.note("prompts");
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard.note("resources");
    }
}

fn without_meta(mut params: Value) -> Value {
    if let Some(params) = params.as_object_mut() {
        params.remove("_meta");
    }
    params
}
