//! A client's request, from routing to the upstream call.

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
    client_software::ClientSoftware,
    routing::{ExposedTool, ExposedTools, RequestContext},
    sessions::{Session, bind},
};

/// A request for a server, as the client sent it.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) params: RawObject,
    /// The whole request as received.
    pub(crate) text: Bytes,
    /// The capabilities that a modern client declared.
    pub(crate) capabilities: Option<Bytes>,
    /// The minimum level of log messages that a modern client asks for.
    pub(crate) log: Option<LogLevel>,
    pub(crate) client: Option<ClientSoftware>,
}

/// A request with everything needed to send it to its server, and to send it again.
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
    /// The params, with the server's own names.
    pub(crate) params: RawObject,
    /// The client capabilities for a modern server, if they differ from those in `params`.
    pub(crate) declared: Option<Bytes>,
    /// Which server requests the client accepts from this server.
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) log: Option<LogLevel>,
    pub(crate) uris: Option<Arc<UriRewrite>>,
    pub(crate) tasks: Option<Arc<dyn TaskIdTransform>>,
    /// The list of the called tool, and its position.
    pub(crate) tool: Option<(Arc<ExposedTools>, usize)>,
    /// The client's headers that the gateway forwards.
    pub(crate) passthrough: HeaderMap,
}

impl RelayRequest {
    /// Returns the era of the client.
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

    /// Returns the arguments that a modern HTTP request repeats in headers (SEP-2243).
    fn mirrored(&self) -> &[ParamHeader] {
        self.tool().map_or(&[], |tool| &tool.headers)
    }

    /// Returns the request in the form of the upstream client.
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

    /// Converts an outcome that did not arrive as the response to this request, such as the result of a task.
    pub(crate) fn response_of(&self, outcome: &Outcome) -> Bytes {
        let response = self.server.told(&self.upstream(), outcome);
        response.unwrap_or_else(|error| self.failure(&error))
    }

    /// Returns the error response for the client.
    pub(crate) fn failure(&self, error: &Error) -> Bytes {
        failure::response(self.era(), self.is_tool_call(), &self.id, error)
    }

    /// Returns the error of a server that violated the protocol.
    pub(crate) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        self.server.failed(failure)
    }

    /// Returns the responses of a modern client to server requests.
    pub(crate) fn answers(&self) -> RawObject {
        let answers = self.params.get("inputResponses").map(RawObject::parse_checked);
        answers.and_then(Result::ok).unwrap_or_default()
    }

    pub(crate) fn progress_token(&self) -> Option<Bytes> {
        let meta = RawObject::parse_checked(self.params.get(meta::META)?).ok()?;
        meta.get(meta::PROGRESS_TOKEN).cloned()
    }

    /// Returns the digest of caller and gateway, which a `requestState` is bound to.
    pub(crate) fn bound_to(&self) -> [u8; 16] {
        bind(&self.context.gateway.spec.name, &self.context.caller)
    }

    /// Returns the digest of the method and the params, without what differs when the request is sent again. The order
    /// of members does not matter.
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
            // `serde_json::Map` sorts its keys.
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
