//! Converts a server's response for a client: the id, and the differences between the eras.

pub(crate) mod content;
pub(crate) mod request;
pub(crate) mod retell;
pub(crate) mod tasks;

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::{Error, Failure, FailureKind, ServerSpec};
use portolan_wire::{
    envelope::{self, Outcome},
    era::{Era, ProtocolVersion},
    error::{self, ErrorMapping, ErrorObject},
    id::RequestId,
    level::LogLevel,
    method::Method,
    object::RawObject,
    rewrite::{Edit, ResponseStream, ResultType},
};

pub(crate) use self::request::{own_token, params};
use self::{retell::retell, tasks::TaskCreated};
use crate::{
    capabilities::ClientCapabilities,
    request::UpstreamRequest,
    server_requests::{INPUT_REQUIRED, InputRequired},
    transform::{TaskIdTransform, TaskRole, UriRewrite},
};

/// Converts the response to one request.
#[derive(Clone, Debug)]
pub(crate) struct Conversion {
    /// The era of the client; `None` for internal requests, which get the response as it is.
    pub(crate) client: Option<Era>,
    /// The era of the server.
    pub(crate) upstream: Era,
    /// The method of the request.
    pub(crate) method: Method,
    /// The client's id.
    pub(crate) id: RequestId,
    /// The id that was sent.
    pub(crate) sent: RequestId,
    /// The server.
    pub(crate) server: Arc<ServerSpec>,
    /// The protocol version of a legacy client.
    version: Option<ProtocolVersion>,
    /// The requested resource, raw.
    uri: Option<Bytes>,
    /// `true` if structured content may be another JSON value than an object.
    odd_output: bool,
    /// How URIs are rewritten.
    uris: Option<Arc<UriRewrite>>,
    /// How task ids are rewritten.
    tasks: Option<Arc<dyn TaskIdTransform>>,
    /// The capabilities of the client that the server may use.
    pub(crate) capabilities: ClientCapabilities,
    /// The progress token of the request that now waits for the response, if it is not the one that was sent.
    pub(crate) retold: Option<Option<Bytes>>,
    /// The lowest level of the log messages that the client wants, if it set one.
    pub(crate) log: Option<LogLevel>,
}

/// A converted response.
#[derive(Debug)]
pub(crate) enum Converted {
    /// A message for the client.
    Message(Bytes),
    /// The server requires input first.
    InputRequired(InputRequired),
    /// The server requires the call to be a task, and has not begun; the message for the client if it is not sent again.
    TaskRequired(Bytes),
    /// The call has become a task, which the relay has to poll.
    Task(TaskCreated),
}

impl Conversion {
    /// Returns the conversion of a request of which nothing else is known.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn plain(
        client: Option<Era>,
        upstream: Era,
        method: Method,
        id: RequestId,
        capabilities: ClientCapabilities,
    ) -> Self {
        let url = ServerSpec::remote("s", "http://127.0.0.1/");
        Self {
            client,
            upstream,
            method,
            sent: id.clone(),
            id,
            server: Arc::new(url.expect("a plain entry")),
            version: None,
            uri: None,
            odd_output: false,
            uris: None,
            tasks: None,
            capabilities,
            retold: None,
            log: None,
        }
    }

    /// Returns the conversion of the response to `request`, which was sent under the id `sent` to a server of era
    /// `upstream`.
    pub(crate) fn new(request: &UpstreamRequest<'_>, upstream: Era, sent: RequestId, server: &Arc<ServerSpec>) -> Self {
        let is_read = *request.method == Method::ResourcesRead;
        Self {
            client: request.requester.era(),
            upstream,
            method: request.method.clone(),
            id: request.id.clone(),
            sent,
            server: server.clone(),
            version: request.requester.version(),
            uri: request.params.get("uri").filter(|_| is_read).cloned(),
            odd_output: request.odd_output,
            uris: request.uris.cloned(),
            tasks: request.tasks.cloned(),
            capabilities: request.capabilities,
            retold: None,
            log: request.requester.level(),
        }
    }

    /// Returns how `resultType` is edited, which only 2026-07-28 has.
    pub(crate) fn result_type(&self) -> ResultType {
        match (self.client, self.upstream) {
            (Some(Era::Modern), Era::Legacy) if self.uri.is_some() => ResultType::EnsureUncached,
            (Some(Era::Modern), _) => ResultType::Ensure,
            (Some(Era::Legacy), Era::Modern) => ResultType::Strip,
            _ => ResultType::Keep,
        }
    }

    /// Returns the edit of a response that passes without being held.
    pub(crate) fn stream(&self) -> ResponseStream {
        let stream = ResponseStream::new(Edit {
            id: self.id.clone(),
            result_type: self.result_type(),
        });
        match self.uris.as_ref().and_then(|uris| Some((uris.in_response?, uris))) {
            Some((place, uris)) => stream.inserting(place, uris.prefix.clone()),
            None => stream,
        }
    }

    /// Returns `true` if the response has URIs to rewrite.
    fn rewrites_uris(&self) -> bool {
        self.uris.as_ref().is_some_and(|uris| uris.in_response.is_some())
    }

    /// Returns `true` if a response whose head has this `result_type` passes unchanged, apart from its id.
    pub(crate) fn passes(&self, result_type: Option<&Bytes>) -> bool {
        let kept = match self.result_type() {
            ResultType::Keep => true,
            ResultType::Ensure | ResultType::EnsureUncached => result_type.is_some(),
            ResultType::Strip => false,
        };
        kept && !self.is_task(result_type) && !self.rewrites_uris()
    }

    /// Returns `true` if a response names a task by an id that has to be rewritten.
    pub(crate) fn is_task(&self, result_type: Option<&Bytes>) -> bool {
        match self.tasks.as_ref().map(|tasks| tasks.role()) {
            None => false,
            Some(TaskRole::MayBecomeTask) if self.upstream == Era::Legacy => true,
            Some(TaskRole::MayBecomeTask | TaskRole::Polled) => result_type.is_some_and(|raw| raw == r#""task""#),
            Some(TaskRole::Existing) => true,
        }
    }

    /// Returns `true` if a response has to be held as a whole, however large: more may change in it than its envelope.
    pub(crate) fn holds(&self) -> bool {
        (self.odd_output && self.strips())
            || self.is_older()
            || self
                .tasks
                .as_ref()
                .is_some_and(|tasks| tasks.role() == TaskRole::Existing)
            || (self.upstream == Era::Legacy && self.tasks.is_some())
    }

    /// Returns `true` if members of 2026-07-28 are removed.
    fn strips(&self) -> bool {
        self.client == Some(Era::Legacy) && self.upstream == Era::Modern
    }

    /// Returns `true` if the client's version may lack a kind of content: links came with 2025-06-18.
    fn is_older(&self) -> bool {
        self.version
            .is_some_and(|version| version < ProtocolVersion::V2025_06_18)
            && matches!(self.method, Method::ToolsCall | Method::PromptsGet)
    }

    /// See [`is_beyond`].
    pub(crate) fn is_beyond(&self, result_type: Option<&Bytes>) -> bool {
        is_beyond(self.client, result_type)
    }

    /// Converts a notification; `None` if the client does not want it.
    pub(crate) fn notification(&self, message: Bytes) -> Option<Bytes> {
        let message = match &self.tasks {
            Some(tasks) if self.upstream == Era::Legacy => tasks.rewrite_notification(message),
            _ => message,
        };
        match &self.retold {
            None => Some(message),
            Some(token) => retell(&message, &self.id, token.as_ref()),
        }
    }

    /// Returns `true` if the server may send the client this request. Internal requests permit none.
    pub(crate) fn may_ask(&self, method: &Method, params: Option<&Bytes>) -> bool {
        self.client.is_some() && !self.capabilities.is_none() && self.capabilities.permit(method, params)
    }

    /// Converts a response. Servers see ids of this client's own, so the envelope is always written anew.
    pub(crate) fn message(&self, outcome: &Outcome) -> Converted {
        let uris = self.uris.as_ref().and_then(|uris| Some((uris.in_result?, uris)));
        match (outcome, uris) {
            (Outcome::Result(raw), Some((place, uris))) => match uris.prefix.put_into(raw, place) {
                Ok(None) => self.told(outcome),
                Ok(Some(changed)) => self.told(&Outcome::Result(changed)),
                Err(error) => Converted::Message(
                    self.failure(&self.protocol_error(format!("its result cannot be read: {error}"))),
                ),
            },
            _ => self.told(outcome),
        }
    }

    fn told(&self, outcome: &Outcome) -> Converted {
        Converted::Message(match outcome {
            Outcome::Error(raw) => return self.error(raw),
            Outcome::Result(raw)
                if self.result_type() == ResultType::Keep && !self.is_older() && self.tasks.is_none() =>
            {
                envelope::result(&self.id, raw)
            }
            Outcome::Result(raw) => return self.result(raw),
        })
    }

    /// Returns `true` if the result may be that input is required.
    pub(crate) fn may_end_asking(&self) -> bool {
        let may = matches!(
            self.method,
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        may && self.upstream == Era::Modern
    }

    /// Converts a result that does not end the call. Only some methods may have one, and only at modern servers
    /// (2026-07-28, basic/patterns/mrtr).
    fn beyond(&self, result: RawObject, result_type: Option<&Bytes>) -> Converted {
        if self.may_end_asking() && result_type.is_some_and(|raw| raw == INPUT_REQUIRED) {
            return Converted::InputRequired(InputRequired::new(result));
        }
        Converted::Message(
            self.failure(&self.protocol_error("its result has a resultType that this method cannot have")),
        )
    }

    fn result(&self, raw: &Bytes) -> Converted {
        let Ok(mut result) = RawObject::parse_checked(raw) else {
            return Converted::Message(self.failure(&self.protocol_error("its result is not a JSON object")));
        };
        let result_type = result.get("resultType").cloned();
        if let Some(created) = self.created(&result, result_type.as_ref()) {
            return created;
        }
        if self.is_beyond(result_type.as_ref()) {
            return self.beyond(result, result_type.as_ref());
        }
        let mut changed = match self.result_type() {
            ResultType::Ensure | ResultType::EnsureUncached if result_type.is_none() => {
                result.set("resultType", Bytes::from_static(br#""complete""#));
                true
            }
            ResultType::Strip => result.remove("resultType").is_some(),
            _ => false,
        };
        changed |= self.adapt_hints(&mut result, result_type.as_ref());
        if let Some(tasks) = self.tasks.as_ref().filter(|_| self.is_task(result_type.as_ref())) {
            if tasks.rewrite_result(self.upstream, &mut result).is_none() {
                return Converted::Message(
                    self.failure(&self.protocol_error("its task has no id that can be relayed")),
                );
            }
            changed = true;
        }
        if self.strips() && self.method == Method::ToolsCall {
            changed |= content::without_odd_output(&mut result);
        }
        if self.is_older() {
            changed |= content::without_links(&mut result);
        }
        Converted::Message(match changed {
            false => envelope::result(&self.id, raw),
            true => envelope::result(&self.id, &result.to_bytes()),
        })
    }

    /// Adapts the caching hints of a resource's content: always present for modern clients, never for others.
    fn adapt_hints(&self, result: &mut RawObject, result_type: Option<&Bytes>) -> bool {
        if self.uri.is_none() || result_type.is_some_and(|raw| raw != COMPLETE) {
            return false;
        }
        let mut changed = false;
        for (member, careful) in [("ttlMs", "0"), ("cacheScope", r#""private""#)] {
            if self.strips() {
                changed |= result.remove(member).is_some();
            } else if self.client == Some(Era::Modern) && !result.contains(member) {
                result.set(member, Bytes::from_static(careful.as_bytes()));
                changed = true;
            }
        }
        changed
    }

    fn error(&self, raw: &Bytes) -> Converted {
        let Some(error) = ErrorObject::parse(raw) else {
            return Converted::Message(self.failure(&self.protocol_error("its error is not a JSON-RPC error")));
        };
        let Some(client) = self.client else {
            return Converted::Message(envelope::error(Some(&self.id), &error));
        };
        let error = self.renamed_error(self.with_uri(error));
        let is_required =
            self.tasks.is_none() && self.method == Method::ToolsCall && crate::tasks::are_required(&error);
        let message = match error::to_client(client, &self.method, error) {
            ErrorMapping::NeedsUrl(error) => return self.needs_visit(client, &error),
            ErrorMapping::LacksCapability(error) if client == Era::Modern => envelope::error(Some(&self.id), &error),
            ErrorMapping::LacksCapability(_) if self.method == Method::ToolsCall => {
                self.failure(&self.protocol_error("it needs a capability that this client does not have"))
            }
            ErrorMapping::LacksCapability(error) => {
                let error = ErrorObject::new(error::INVALID_PARAMS, error.message);
                envelope::error(Some(&self.id), &error)
            }
            relayed => envelope::error(Some(&self.id), &relayed.hidden()),
        };
        if is_required {
            Converted::TaskRequired(message)
        } else {
            Converted::Message(message)
        }
    }

    /// Converts -32042: URLs have to be visited before the call (2025-11-25, client/elicitation).
    fn needs_visit(&self, client: Era, error: &ErrorObject) -> Converted {
        let asked = InputRequired::visits(error.data.as_ref());
        match (client, asked) {
            (Era::Modern, Some(asked)) if self.capabilities.has_url() => Converted::InputRequired(asked),
            (Era::Legacy, _) if self.capabilities.has_url() => {
                Converted::Message(envelope::error(Some(&self.id), error))
            }
            (_, asked) => {
                let pages = asked.map(|asked| asked.pages()).unwrap_or_default();
                let failure = Failure::new(
                    FailureKind::Credential,
                    "it requires a URL to be visited before this call",
                );
                let failure = match pages.as_slice() {
                    [] => failure,
                    pages => failure.remedy(format!("visit {}, then call again", pages.join(" and "))),
                };
                Converted::Message(self.failure(&Error::NotReady {
                    what: "server",
                    name: self.server.name.to_string(),
                    failure,
                }))
            }
        }
    }

    /// Converts a legacy server's error for an unknown resource to one with the `data.uri` of modern servers (SEP-2164).
    fn with_uri(&self, error: ErrorObject) -> ErrorObject {
        match &self.uri {
            Some(uri) if error.code == error::RESOURCE_NOT_FOUND => {
                let data = error.data.as_ref().and_then(|data| RawObject::parse(data).ok());
                let mut data = data.unwrap_or_default();
                if !data.contains("uri") {
                    data.set("uri", uri.clone());
                }
                error.with_data(data.to_bytes())
            }
            _ => error,
        }
    }

    /// Rewrites the URI in the error.
    fn renamed_error(&self, error: ErrorObject) -> ErrorObject {
        let is_missing = match error.code {
            error::RESOURCE_NOT_FOUND => true,
            error::INVALID_PARAMS => self.method == Method::ResourcesRead,
            _ => false,
        };
        match (&error.data, &self.uris) {
            (Some(data), Some(uris)) if is_missing => {
                let changed = uris.prefix.put_into(data, uris.in_error_data).ok().flatten();
                let data = changed.unwrap_or_else(|| data.clone());
                error.with_data(data)
            }
            _ => error,
        }
    }

    /// Returns the message for an error: a tool result that a model can read, or a JSON-RPC error.
    pub(crate) fn failure(&self, error: &Error) -> Bytes {
        let is_tool = self.client.is_some() && self.method == Method::ToolsCall;
        crate::failure::response(self.client.unwrap_or(self.upstream), is_tool, &self.id, error)
    }

    /// Returns the error of a server that broke the protocol.
    pub(crate) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure: Failure::new(FailureKind::Protocol, problem.into()),
        }
    }
}

const COMPLETE: &str = r#""complete""#;

/// Returns `true` if a response with this `resultType` does not end the call, or cannot be used by this client: then it is
/// converted as a whole.
pub(crate) fn is_beyond(client: Option<Era>, result_type: Option<&Bytes>) -> bool {
    match client {
        Some(Era::Legacy) => result_type.is_some_and(|raw| raw != COMPLETE),
        Some(Era::Modern) => result_type.is_some_and(|raw| raw == INPUT_REQUIRED),
        None => false,
    }
}
