//! From a server's answer to a client's: the id, and what the eras say differently.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use portolan_core::{Cause, Error, Failure, ServerSpec};
use portolan_wire::{
    envelope::{self, Outcome},
    era::Era,
    error::{self, ErrorObject, Relayed},
    id::RequestId,
    method::Method,
    object::{self, RawObject},
    stream::{Edit, ResultType},
};

use crate::reply;

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
}

impl Conversion {
    /// What becomes of `resultType`, which only 2026-07-28 has.
    pub(crate) fn result_type(&self) -> ResultType {
        match (self.client, self.upstream) {
            (Some(Era::Modern), _) => ResultType::Ensure,
            (Some(Era::Legacy), Era::Modern) => ResultType::Strip,
            _ => ResultType::Keep,
        }
    }

    /// The edit of an answer that passes by without being held.
    pub(crate) fn edit(&self) -> Edit {
        Edit {
            id: self.id.clone(),
            result_type: self.result_type(),
        }
    }

    /// Whether an answer whose head says `result_type` passes as it stands.
    pub(crate) fn passes(&self, result_type: Option<&Bytes>) -> bool {
        let kept = match self.result_type() {
            ResultType::Keep => true,
            ResultType::Ensure => result_type.is_some(),
            ResultType::Strip => false,
        };
        kept && self.id == self.sent
    }

    /// Whether a legacy client could make nothing of an answer with this `resultType`.
    pub(crate) fn is_beyond(&self, result_type: Option<&Bytes>) -> bool {
        self.client == Some(Era::Legacy) && asks_for_more(result_type)
    }

    /// The whole message for the client. `whole` is the message as it came, and is handed on where nothing changes.
    pub(crate) fn message(&self, outcome: &Outcome, whole: Option<&Bytes>) -> Bytes {
        match outcome {
            Outcome::Error(raw) => self.error(raw),
            Outcome::Result(raw) if self.result_type() == ResultType::Keep => match whole {
                Some(whole) if self.id == self.sent => whole.clone(),
                _ => envelope::result(&self.id, raw),
            },
            Outcome::Result(raw) => self.result(raw, whole),
        }
    }

    fn result(&self, raw: &Bytes, whole: Option<&Bytes>) -> Bytes {
        let Ok(mut result) = RawObject::parse_checked(raw) else {
            return self.failure(&self.odd("its result is no JSON object"));
        };
        let result_type = result.get("resultType").cloned();
        if self.is_beyond(result_type.as_ref()) {
            return self.failure(&self.odd("it asks for more input, which this client's protocol version cannot give"));
        }
        match (self.result_type(), result_type, whole) {
            (ResultType::Ensure, Some(_), Some(whole)) if self.id == self.sent => return whole.clone(),
            (ResultType::Ensure, None, _) => {
                result.set("resultType", Bytes::from_static(br#""complete""#));
            }
            (ResultType::Strip, Some(_), _) => {
                result.remove("resultType");
            }
            _ => {}
        }
        envelope::result(&self.id, &result.to_bytes())
    }

    fn error(&self, raw: &Bytes) -> Bytes {
        let Some(error) = ErrorObject::parse(raw) else {
            return self.failure(&self.odd("its error is no JSON-RPC error"));
        };
        let Some(client) = self.client else {
            return envelope::error(Some(&self.id), &error);
        };
        match error::to_client(client, &self.method, error) {
            Relayed::LacksCapability(error) if client == Era::Modern => envelope::error(Some(&self.id), &error),
            Relayed::LacksCapability(_) if self.method == Method::ToolsCall => {
                self.failure(&self.odd("it needs a capability that this client does not have"))
            }
            relayed => envelope::error(Some(&self.id), &relayed.hidden()),
        }
    }

    /// The message that says that there is no answer: a tool result that a model can read, else a JSON-RPC error.
    pub(crate) fn failure(&self, error: &Error) -> Bytes {
        match (self.client, &self.method) {
            (Some(era), Method::ToolsCall) => envelope::result(&self.id, &reply::tool_failure(era, error)),
            _ => envelope::error(Some(&self.id), &reply::error_object(error)),
        }
    }

    /// The server answered what it must not.
    pub(crate) fn odd(&self, problem: impl Into<String>) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure: Failure::new(Cause::Protocol, problem.into()),
        }
    }
}

/// Whether a `resultType` says that the result is not the end of the call.
pub(crate) fn asks_for_more(result_type: Option<&Bytes>) -> bool {
    result_type.is_some_and(|raw| raw != r#""complete""#)
}

/// A `_meta` for a modern server: what the client sent, with the version and capabilities that the protocol demands.
pub(crate) fn modern_meta(meta: Option<&Bytes>, name: &str) -> Bytes {
    use portolan_wire::{era::ProtocolVersion, meta as key};
    let mut members = meta.and_then(|raw| RawObject::parse(raw).ok()).unwrap_or_default();
    members.set(key::PROTOCOL_VERSION, object::quote(ProtocolVersion::NEWEST.as_str()));
    members.set(key::CLIENT_CAPABILITIES, Bytes::from_static(b"{}"));
    if !members.contains(key::CLIENT_INFO) {
        members.set(key::CLIENT_INFO, client_info(name));
    }
    members.to_bytes()
}

/// A `_meta` for a legacy server: without what only modern ones know. `None` when nothing is left.
pub(crate) fn legacy_meta(meta: &Bytes) -> Option<Bytes> {
    use portolan_wire::meta as key;
    let mut members = RawObject::parse(meta).ok()?;
    for modern in [
        key::PROTOCOL_VERSION,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        key::LOG_LEVEL,
    ] {
        members.remove(modern);
    }
    (!members.is_empty()).then(|| members.to_bytes())
}

/// Params for a server of era `upstream` from a client of era `client`: the same where the eras are.
pub(crate) fn params<'a>(params: &'a RawObject, client: Option<Era>, upstream: Era, name: &str) -> Cow<'a, RawObject> {
    use portolan_wire::meta::META;
    if client == Some(upstream) {
        return Cow::Borrowed(params);
    }
    let mut params = params.clone();
    match upstream {
        Era::Modern => {
            let meta = modern_meta(params.get(META), name);
            params.set(META, meta);
        }
        Era::Legacy => match params.get(META).map(legacy_meta) {
            Some(Some(meta)) => {
                params.set(META, meta);
            }
            _ => {
                params.remove(META);
            }
        },
    }
    if client == Some(Era::Modern) && upstream == Era::Legacy {
        params.remove("inputResponses");
        params.remove("requestState");
    }
    Cow::Owned(params)
}

/// Who we say we are.
pub(crate) fn client_info(name: &str) -> Bytes {
    let mut info = RawObject::new();
    info.set("name", object::quote(name));
    info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
    info.to_bytes()
}
