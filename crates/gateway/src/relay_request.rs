//! A client's request on its way to a server: one type, from routing to the wire.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderMap;
use portolan_client::{
    Cancellation, ClientCapabilities, Requester, TaskIdTransform, UpstreamRequest, UpstreamServer, UriRewrite, failure,
};
use portolan_core::{Error, Failure, FailureKind, Install, UpstreamCredential};
use portolan_wire::{
    envelope::Outcome, era::Era, header::ParamHeader, id::RequestId, level::LogLevel, meta, method::Method,
    object::RawObject,
};

use crate::{
    routing::{ExposedTool, ExposedTools, RequestContext},
    sessions::{Session, bind},
};

/// A request that a server answers, as a client sent it.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) params: RawObject,
    /// The whole request as it came.
    pub(crate) text: Bytes,
    /// The capabilities that a modern client declared.
    pub(crate) capabilities: Option<Bytes>,
    /// The level from which on a modern client asks for log messages.
    pub(crate) log: Option<LogLevel>,
    /// The name of the client software, as the client states it.
    pub(crate) client: Option<Arc<str>>,
}

/// A request with all that is needed to send it to its server, and to send it again.
#[derive(Clone, Debug)]
pub(crate) struct RelayRequest {
    pub(crate) context: Arc<RequestContext>,
    /// The session of a legacy client, and the client's cancellation of this request.
    pub(crate) session: Option<(Arc<Session>, Cancellation)>,
    pub(crate) install: Arc<Install>,
    pub(crate) server: Arc<UpstreamServer>,
    pub(crate) credential: Arc<UpstreamCredential>,
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    /// With names as the server knows them.
    pub(crate) params: RawObject,
    /// The client's own text, if nothing in it was changed.
    pub(crate) unchanged: Option<Bytes>,
    /// The capabilities that a modern server is told, where they differ from those in `params`.
    pub(crate) declared: Option<Bytes>,
    /// What the server may ask the client.
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) log: Option<LogLevel>,
    pub(crate) uris: Option<Arc<UriRewrite>>,
    pub(crate) tasks: Option<Arc<dyn TaskIdTransform>>,
    /// The list that the called tool is on, and where it stands.
    pub(crate) tool: Option<(Arc<ExposedTools>, usize)>,
    /// Headers of the client that are passed on.
    pub(crate) passthrough: HeaderMap,
}

impl RelayRequest {
    /// The era of the client.
    pub(crate) fn era(&self) -> Era {
        match self.session {
            Some(_) => Era::Legacy,
            None => Era::Modern,
        }
    }

    pub(crate) fn is_tool_call(&self) -> bool {
        self.method == Method::ToolsCall
    }

    pub(crate) fn tool(&self) -> Option<&ExposedTool> {
        self.tool.as_ref().map(|(tools, at)| tools.get(*at))
    }

    /// The arguments that a modern HTTP request repeats in headers (SEP-2243).
    fn mirrored(&self) -> &[ParamHeader] {
        self.tool().map_or(&[], |tool| &tool.headers)
    }

    /// The request as the client for servers takes it.
    pub(crate) fn upstream(&self) -> UpstreamRequest<'_> {
        let requester = match &self.session {
            Some((session, cancelled)) => Requester::Legacy {
                conversation: &session.conversation,
                cancelled,
            },
            None => Requester::Modern {
                caller: &self.context.caller,
                endpoint: self.context.gateway.spec.name.as_str(),
                log: self.log,
            },
        };
        UpstreamRequest {
            requester,
            id: &self.id,
            method: &self.method,
            params: &self.params,
            unchanged: self.unchanged.as_ref(),
            declared: self.declared.as_ref(),
            capabilities: self.capabilities,
            odd_output: self.tool().is_some_and(|tool| tool.odd_output),
            uris: self.uris.as_ref(),
            tasks: self.tasks.as_ref(),
            mirrored: self.mirrored(),
            credential: &self.credential,
            passthrough: &self.passthrough,
        }
    }

    /// Resolves when the client has cancelled the request.
    pub(crate) async fn cancelled(&self) {
        match &self.session {
            Some((_, cancelled)) => std::future::poll_fn(|cx| cancelled.poll(cx)).await,
            None => std::future::pending().await,
        }
    }

    /// The client's message for an answer that the server gave otherwise than to the request itself.
    pub(crate) fn response_of(&self, outcome: &Outcome) -> Bytes {
        let told = self.server.told(&self.upstream(), outcome);
        told.unwrap_or_else(|error| self.failure(&error))
    }

    /// The message that says that there is no answer.
    pub(crate) fn failure(&self, error: &Error) -> Bytes {
        failure::response(self.era(), self.is_tool_call(), &self.id, error)
    }

    /// The error that says how the server broke the protocol.
    pub(crate) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        self.server.failed(failure)
    }

    /// The answers that a modern client brought.
    pub(crate) fn answers(&self) -> RawObject {
        let answers = self.params.get("inputResponses").map(RawObject::parse_checked);
        answers.and_then(Result::ok).unwrap_or_default()
    }

    pub(crate) fn progress_token(&self) -> Option<Bytes> {
        let meta = RawObject::parse_checked(self.params.get(meta::META)?).ok()?;
        meta.get(meta::PROGRESS_TOKEN).cloned()
    }

    /// The digest of the caller and the gateway, which a `requestState` is bound to.
    pub(crate) fn bound_to(&self) -> [u8; 16] {
        bind(&self.context.gateway.spec.name, &self.context.caller)
    }

    /// The digest of the method and the params, apart from what differs when the request is sent again. Members may come in
    /// another order then.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.method.as_str().as_bytes());
        let mut members: Vec<_> = self
            .params
            .iter()
            .filter(|(key, _)| !matches!(&**key, meta::META | "inputResponses" | "requestState"))
            .collect();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, raw) in members {
            hash.update(&[0]);
            hash.update(key.as_bytes());
            hash.update(&[0]);
            // A map of serde_json's is sorted by its keys.
            match serde_json::from_slice::<serde_json::Value>(raw).and_then(|value| serde_json::to_vec(&value)) {
                Ok(canonical) => hash.update(&canonical),
                Err(_) => hash.update(raw),
            }
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finish().as_ref()[..16]);
        digest
    }
}
