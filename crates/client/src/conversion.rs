//! From a server's answer to a client's: the id, and what the eras say differently.

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

/// How the answer to one request is turned into the client's.
#[derive(Clone, Debug)]
pub(crate) struct Conversion {
    /// Who gets the answer. The gateway itself gets it as it is.
    pub(crate) client: Option<Era>,
    /// Who gave it.
    pub(crate) upstream: Era,
    /// What was asked.
    pub(crate) method: Method,
    /// The client's id.
    pub(crate) id: RequestId,
    /// The id that was sent.
    pub(crate) sent: RequestId,
    /// Whose answer it is.
    pub(crate) server: Arc<ServerSpec>,
    /// What a legacy client speaks.
    version: Option<ProtocolVersion>,
    /// The resource that was asked for, raw.
    uri: Option<Bytes>,
    /// Whether structured content may come that is no object.
    odd_output: bool,
    /// How the client knows the URIs of the server.
    uris: Option<Arc<UriRewrite>>,
    /// What becomes of the ids of tasks.
    tasks: Option<Arc<dyn TaskIdTransform>>,
    /// What the server may ask the client.
    pub(crate) capabilities: ClientCapabilities,
    /// The progress token of the request that now waits for the answer, if that is not the one that was sent.
    pub(crate) retold: Option<Option<Bytes>>,
    /// From which level on the client is told what is logged, if it has said so.
    pub(crate) log: Option<LogLevel>,
}

/// What an answer says to the client.
#[derive(Debug)]
pub(crate) enum Converted {
    /// A message for it.
    Message(Bytes),
    /// That the server wants answers first.
    InputRequired(InputRequired),
    /// That the server does this only as a task, and has not begun; the message for the client, if it is not asked anew.
    TaskRequired(Bytes),
    /// That the call has become a task, which the gateway is to drive.
    Task(TaskCreated),
}

impl Conversion {
    /// The conversion of the answer to a request of which nothing else is known.
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

    /// The conversion of the answer to `request`, which was sent under the id `sent` to a server of era `upstream`.
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

    /// What becomes of `resultType`, which only 2026-07-28 has.
    pub(crate) fn result_type(&self) -> ResultType {
        match (self.client, self.upstream) {
            (Some(Era::Modern), Era::Legacy) if self.uri.is_some() => ResultType::EnsureUncached,
            (Some(Era::Modern), _) => ResultType::Ensure,
            (Some(Era::Legacy), Era::Modern) => ResultType::Strip,
            _ => ResultType::Keep,
        }
    }

    /// What edits an answer that passes by without being held.
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

    /// Whether the answer has URIs that the client knows by other ones.
    fn rewrites_uris(&self) -> bool {
        self.uris.as_ref().is_some_and(|uris| uris.in_response.is_some())
    }

    /// Whether an answer whose head says `result_type` passes as it stands.
    pub(crate) fn passes(&self, result_type: Option<&Bytes>) -> bool {
        let kept = match self.result_type() {
            ResultType::Keep => true,
            ResultType::Ensure | ResultType::EnsureUncached => result_type.is_some(),
            ResultType::Strip => false,
        };
        kept && self.id == self.sent && !self.is_task(result_type) && !self.rewrites_uris()
    }

    /// Whether an answer names a task by an id that the client does not know it by.
    pub(crate) fn is_task(&self, result_type: Option<&Bytes>) -> bool {
        match self.tasks.as_ref().map(|tasks| tasks.role()) {
            None => false,
            Some(TaskRole::MayBecomeTask) if self.upstream == Era::Legacy => true,
            Some(TaskRole::MayBecomeTask | TaskRole::Polled) => result_type.is_some_and(|raw| raw == r#""task""#),
            Some(TaskRole::Existing) => true,
        }
    }

    /// Whether an answer has to be held whole, however large it is: more may have to change in it than its outside.
    pub(crate) fn holds(&self) -> bool {
        (self.odd_output && self.strips())
            || self.is_older()
            || self
                .tasks
                .as_ref()
                .is_some_and(|tasks| tasks.role() == TaskRole::Existing)
            || (self.upstream == Era::Legacy && self.tasks.is_some())
    }

    /// Whether what came with 2026-07-28 is taken out.
    fn strips(&self) -> bool {
        self.client == Some(Era::Legacy) && self.upstream == Era::Modern
    }

    /// Whether the client may not know all kinds of content: links came with 2025-06-18.
    fn is_older(&self) -> bool {
        self.version
            .is_some_and(|version| version < ProtocolVersion::V2025_06_18)
            && matches!(self.method, Method::ToolsCall | Method::PromptsGet)
    }

    /// As [`is_beyond`].
    pub(crate) fn is_beyond(&self, result_type: Option<&Bytes>) -> bool {
        is_beyond(self.client, result_type)
    }

    /// A notification for the client, if it wants it.
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

    /// Whether the server may ask this of the client now. What the gateway wants to know itself has none.
    pub(crate) fn may_ask(&self, method: &Method, params: Option<&Bytes>) -> bool {
        self.client.is_some() && !self.capabilities.is_none() && self.capabilities.permit(method, params)
    }

    /// What the client is told. `whole` is the message as it came, and is handed on where nothing changes.
    pub(crate) fn message(&self, outcome: &Outcome, whole: Option<&Bytes>) -> Converted {
        let uris = self.uris.as_ref().and_then(|uris| Some((uris.in_result?, uris)));
        match (outcome, uris) {
            (Outcome::Result(raw), Some((place, uris))) => match uris.prefix.put_into(raw, place) {
                Ok(None) => self.told(outcome, whole),
                Ok(Some(changed)) => self.told(&Outcome::Result(changed), None),
                Err(error) => Converted::Message(
                    self.failure(&self.protocol_error(format!("its result cannot be read: {error}"))),
                ),
            },
            _ => self.told(outcome, whole),
        }
    }

    fn told(&self, outcome: &Outcome, whole: Option<&Bytes>) -> Converted {
        Converted::Message(match outcome {
            Outcome::Error(raw) => return self.error(raw),
            Outcome::Result(raw)
                if self.result_type() == ResultType::Keep && !self.is_older() && self.tasks.is_none() =>
            {
                match whole {
                    Some(whole) if self.id == self.sent => whole.clone(),
                    _ => envelope::result(&self.id, raw),
                }
            }
            Outcome::Result(raw) => return self.result(raw, whole),
        })
    }

    /// Whether the result may be that answers are wanted first.
    pub(crate) fn may_end_asking(&self) -> bool {
        let may = matches!(
            self.method,
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        may && self.upstream == Era::Modern
    }

    /// A result that is not the end of the call. Only some methods may have one, and only of modern servers
    /// (2026-07-28, basic/patterns/mrtr).
    fn beyond(&self, result: RawObject, result_type: Option<&Bytes>) -> Converted {
        if self.may_end_asking() && result_type.is_some_and(|raw| raw == INPUT_REQUIRED) {
            return Converted::InputRequired(InputRequired::new(result));
        }
        Converted::Message(self.failure(&self.protocol_error("its answer is of a kind that this call cannot have")))
    }

    fn result(&self, raw: &Bytes, whole: Option<&Bytes>) -> Converted {
        let Ok(mut result) = RawObject::parse_checked(raw) else {
            return Converted::Message(self.failure(&self.protocol_error("its result is no JSON object")));
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
        Converted::Message(match whole {
            Some(whole) if !changed && self.id == self.sent => whole.clone(),
            _ if !changed => envelope::result(&self.id, raw),
            _ => envelope::result(&self.id, &result.to_bytes()),
        })
    }

    /// The content of a resource says how long it may be kept: towards modern clients always, towards others never.
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
            return Converted::Message(self.failure(&self.protocol_error("its error is no JSON-RPC error")));
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

    /// -32042: pages have to be visited before the call can be made (2025-11-25, client/elicitation).
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
                    "it wants a page to be visited before this call",
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

    /// The error of a legacy server that has no such resource, with the `data.uri` by which modern clients know it
    /// (SEP-2164).
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

    /// The same with the URI by which the client knows the resource.
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

    /// The message that says that there is no answer: a tool result that a model can read, else a JSON-RPC error.
    pub(crate) fn failure(&self, error: &Error) -> Bytes {
        let is_tool = self.client.is_some() && self.method == Method::ToolsCall;
        crate::failure::response(self.client.unwrap_or(self.upstream), is_tool, &self.id, error)
    }

    /// The server answered what it must not.
    pub(crate) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure: Failure::new(FailureKind::Protocol, problem.into()),
        }
    }
}

const COMPLETE: &str = r#""complete""#;

/// Whether an answer with this `resultType` is not the end of the call, or none that this client can use: then it has to
/// be looked at whole.
pub(crate) fn is_beyond(client: Option<Era>, result_type: Option<&Bytes>) -> bool {
    match client {
        Some(Era::Legacy) => result_type.is_some_and(|raw| raw != COMPLETE),
        Some(Era::Modern) => result_type.is_some_and(|raw| raw == INPUT_REQUIRED),
        None => false,
    }
}
