//! Requests of the process itself, for hosts that relay nothing: whole results and typed errors.

use bytes::Bytes;
use http::HeaderMap;
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{
    envelope::Outcome,
    error::ErrorObject,
    header::{self, ParamHeader},
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

use crate::{
    calls::reply::Reply,
    capabilities::ClientCapabilities,
    catalog::Tools,
    collect,
    request::{Requester, UpstreamRequest},
    server::UpstreamServer,
    server_info::ServerInfo,
    server_requests::INPUT_REQUIRED,
};

/// The `resultType` of a result that names a task (2026-07-28, SEP-2663).
const TASK: &[u8] = br#""task""#;

/// Why [`UpstreamServer::request`] or [`UpstreamServer::call_tool`] has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request failed before the server responded, or its response cannot be read.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The server responded with a JSON-RPC error.
    #[error("server {server:?} rejected {method}: {error}")]
    Rejected {
        /// The server's name.
        server: String,
        /// The method.
        method: Method,
        /// The error, as the server sent it.
        error: ErrorObject,
    },
    /// The server needs input from a user or a model (2026-07-28, `input_required`).
    #[error("server {server:?} needs input to finish {method}; answer it with UpstreamServer::call")]
    InputRequired {
        /// The server's name.
        server: String,
        /// The method.
        method: Method,
        /// The result, with its `inputRequests` and `requestState`.
        result: RawObject,
    },
    /// The server runs the call as a task (2026-07-28, SEP-2663).
    #[error("server {server:?} runs {method} as a task; poll it with tasks/get")]
    TaskCreated {
        /// The server's name.
        server: String,
        /// The method.
        method: Method,
        /// The result, with the `taskId`.
        result: RawObject,
    },
}

/// The result of a tool call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    result: RawObject,
}

impl ToolResult {
    /// Returns `true` if the tool ran and failed. Its [text](Self::text) says why.
    pub fn is_error(&self) -> bool {
        self.result.get("isError").is_some_and(|raw| raw == "true")
    }

    /// Returns the text of the content, one line break between two blocks. Blocks of other types are left out.
    pub fn text(&self) -> String {
        let content = self.result.get("content").map(|raw| serde_json::from_slice(raw));
        let Some(Ok(Value::Array(blocks))) = content else {
            return String::new();
        };
        let texts: Vec<&str> = blocks
            .iter()
            .filter(|block| block["type"] == "text")
            .filter_map(|block| block["text"].as_str())
            .collect();
        texts.join("\n")
    }

    /// Returns the `structuredContent` as raw JSON, if the tool gave any.
    pub fn structured_content(&self) -> Option<&Bytes> {
        self.result.get("structuredContent")
    }

    /// Returns the whole `result`.
    pub fn raw(&self) -> &RawObject {
        &self.result
    }
}

impl UpstreamServer {
    /// Connects to the server, and returns the information that it gives about itself. A second call returns what is
    /// known, without a request.
    ///
    /// The [crate docs](crate) have an example.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::NotReady`] of kind [`FailureKind::Protocol`](portolan_core::FailureKind::Protocol)
    /// if the server gives no information.
    pub async fn connect(&self, credential: &Arc<UpstreamCredential>) -> Result<Arc<ServerInfo>> {
        if let Some(known) = self.info() {
            return Ok(known);
        }
        self.connection().route(true).await?;
        self.introduce(credential).await?;
        self.info()
            .ok_or_else(|| self.protocol_error("it gave no information about itself in server/discover"))
    }

    /// Calls a tool by the server's name for it, and waits for its result. `arguments` is a JSON object, or `null` for
    /// none.
    ///
    /// The server can ask nothing in the middle of the call, its progress and log messages are ignored, and nothing is
    /// made a task of that the server does not insist on. Arguments that a modern server wants repeated in headers
    /// (SEP-2243) are taken from the cached list of tools; if the server rejects the headers, the list is fetched and the
    /// call sent once more. The deadlines are [`ClientTimeouts::call`](crate::ClientTimeouts::call) and
    /// [`call_total`](crate::ClientTimeouts::call_total). Dropping the future cancels the call.
    ///
    /// ```
    /// # use portolan_fixtures::everything::{Everything, Options};
    /// use std::sync::Arc;
    /// use portolan_client::{Client, ClientConfig, UpstreamServer};
    /// use portolan_core::UpstreamCredential;
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fixture = Everything::start(Options::default()).await?;
    /// # let url = fixture.url();
    /// let client = Client::new(ClientConfig::default());
    /// let server = UpstreamServer::at_url(&client, &url)?;
    /// let credential = Arc::new(UpstreamCredential::none());
    /// let result = server.call_tool("greet", json!({ "name": "Ada" }), &credential).await?;
    /// assert!(!result.is_error() && result.text().contains("Ada"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); [`Error::Invalid`] if `arguments` is neither an object nor `null`. A tool that ran
    /// and failed is no error: see [`ToolResult::is_error`].
    pub async fn call_tool(
        self: &Arc<Self>,
        name: &str,
        arguments: Value,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<ToolResult, RequestError> {
        let mut params = RawObject::new();
        params.set("name", object::quote(name));
        match &arguments {
            Value::Null => {}
            Value::Object(_) => drop(params.set("arguments", arguments.to_string().into())),
            _ => return Err(Error::invalid("arguments", "is no JSON object; use an object, or null for none").into()),
        }
        let known = self.known::<Tools>(credential);
        let mirrored = known.map(|known| mirrored(&known.items, name)).unwrap_or_default();
        let mut reply = self.send(&Method::ToolsCall, &params, &mirrored, credential).await?;
        if matches!(reply, Reply::HeaderMismatch(_)) {
            let tools = self.list_within::<Tools>(credential, Duration::ZERO).await?;
            let mirrored = self::mirrored(&tools.items, name);
            reply = self.send(&Method::ToolsCall, &params, &mirrored, credential).await?;
        }
        let result = self.result(&Method::ToolsCall, reply).await?;
        Ok(ToolResult { result })
    }

    /// Sends a request and returns its `result`, in the server's era. `params` is a JSON object, or `null` for none; the
    /// members of `_meta` that the protocol demands are added.
    ///
    /// Deadlines, messages during the call and cancellation are as with [`call_tool`](Self::call_tool).
    ///
    /// ```
    /// # use portolan_fixtures::everything::{Everything, Options};
    /// use std::sync::Arc;
    /// use portolan_client::{Client, ClientConfig, Method, UpstreamServer};
    /// use portolan_core::UpstreamCredential;
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fixture = Everything::start(Options::default()).await?;
    /// # let url = fixture.url();
    /// let client = Client::new(ClientConfig::default());
    /// let server = UpstreamServer::at_url(&client, &url)?;
    /// let credential = Arc::new(UpstreamCredential::none());
    /// let params = json!({ "uri": "test://static-text" });
    /// let result = server.request(&Method::ResourcesRead, params, &credential).await?;
    /// assert!(result.get("contents").is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`RequestError::Failed`] with [`Error::NotReady`] if the server cannot be reached, refuses the credential or
    ///   breaks the protocol, with [`Error::Timeout`] if it takes too long, with [`Error::Invalid`] if `params` is neither
    ///   an object nor `null`.
    /// - [`RequestError::Rejected`] if the server responds with a JSON-RPC error.
    /// - [`RequestError::InputRequired`] if it wants input first, [`RequestError::TaskCreated`] if it made a task.
    pub async fn request(
        &self,
        method: &Method,
        params: Value,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<RawObject, RequestError> {
        let params = match &params {
            Value::Null => RawObject::new(),
            Value::Object(_) => RawObject::parse(&params.to_string().into()).unwrap_or_default(),
            _ => return Err(Error::invalid("params", "is no JSON object; use an object, or null for none").into()),
        };
        let reply = self.send(method, &params, &[], credential).await?;
        self.result(method, reply).await
    }

    async fn send(
        &self,
        method: &Method,
        params: &RawObject,
        mirrored: &[ParamHeader],
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Reply> {
        // The caller of this process waits for the answer, so a server that sleeps is woken.
        self.connection().route(true).await?;
        let request = UpstreamRequest {
            requester: Requester::Internal,
            id: &RequestId::from_u64(1),
            method,
            params,
            declared: None,
            capabilities: ClientCapabilities::NONE,
            odd_output: false,
            uris: None,
            tasks: None,
            mirrored,
            credential,
            passthrough: &HeaderMap::new(),
        };
        self.call(&request).await
    }

    /// Reads the reply to its end and sorts it.
    async fn result(&self, method: &Method, reply: Reply) -> Result<RawObject, RequestError> {
        let message = reply.into_message(self.connection().config().limits.held_bytes).await;
        let message = message.map_err(|error| self.protocol_error(format!("its response to {method}: {error}")))?;
        let unreadable = || self.protocol_error(format!("its response to {method} cannot be read"));
        let outcome = message.as_ref().and_then(collect::outcome).ok_or_else(unreadable)?;
        let (server, method) = (self.spec().name.to_string(), method.clone());
        let result = match outcome {
            Outcome::Result(raw) => RawObject::parse_checked(&raw).map_err(|_| unreadable())?,
            Outcome::Error(raw) => {
                let error = ErrorObject::parse(&raw).ok_or_else(unreadable)?;
                return Err(RequestError::Rejected { server, method, error });
            }
        };
        match result.get("resultType") {
            Some(kind) if kind == INPUT_REQUIRED => Err(RequestError::InputRequired { server, method, result }),
            Some(kind) if kind == TASK => Err(RequestError::TaskCreated { server, method, result }),
            _ => Ok(result),
        }
    }
}

/// Returns the arguments of a tool that a modern HTTP request repeats in headers (SEP-2243).
fn mirrored(tools: &Tools, name: &str) -> Vec<ParamHeader> {
    let headers = || {
        let definition = Bytes::copy_from_slice(tools.get(name)?.definition().get().as_bytes());
        let definition = RawObject::parse(&definition).ok()?;
        header::param_headers(definition.get("inputSchema")?).ok()
    };
    headers().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &'static str) -> ToolResult {
        ToolResult {
            result: RawObject::parse(&Bytes::from_static(text.as_bytes())).expect("an object"),
        }
    }

    #[test]
    fn text_joins_text_blocks() {
        let result = result(r#"{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}"#);
        assert_eq!(result.text(), "a\nb");
        assert!(!result.is_error());
        assert_eq!(result.structured_content(), None);
    }

    #[test]
    fn odd_content_has_no_text() {
        assert_eq!(result(r#"{"content":3,"isError":true}"#).text(), "");
        assert_eq!(result("{}").text(), "");
    }
}
