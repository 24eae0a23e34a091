//! A request on its way to a server, and who sent it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use portolan_core::{Caller, UpstreamCredential};
use portolan_wire::{
    era::{Era, ProtocolVersion},
    header::ParamHeader,
    id::RequestId,
    level::LogLevel,
    method::Method,
    object::RawObject,
};

use crate::{
    cancellation::{Cancellation, DisconnectPolicy},
    capabilities::ClientCapabilities,
    conversation::Conversation,
    transform::{TaskIdTransform, UriRewrite},
};

/// A request on its way to a server.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    /// The side that sent it.
    pub requester: Requester<'a>,
    /// The requester's id. The answer comes back under this id, whatever id the server sees.
    pub id: &'a RequestId,
    /// The method.
    pub method: &'a Method,
    /// The params, with names as the server knows them and `_meta` as the requester sent it.
    pub params: &'a RawObject,
    /// The requester's own text of the request, when nothing in it was changed: it is sent as it stands where the eras
    /// agree.
    pub unchanged: Option<&'a Bytes>,
    /// The capabilities that a modern server is told, where they differ from those in `params`.
    pub declared: Option<&'a Bytes>,
    /// What the server may ask the requester in the middle of the call.
    pub capabilities: ClientCapabilities,
    /// Whether the tool's structured content may be something else than an object (2026-07-28).
    pub odd_output: bool,
    /// How URIs of the server are rewritten in the answer; `None` leaves them as they are.
    pub uris: Option<&'a Arc<UriRewrite>>,
    /// How task ids are rewritten in the answer; `None` if the requester has no tasks.
    pub tasks: Option<&'a Arc<dyn TaskIdTransform>>,
    /// Arguments that a modern HTTP request repeats in headers (SEP-2243).
    pub mirrored: &'a [ParamHeader],
    /// The credential that the server is sent.
    pub credential: &'a Arc<UpstreamCredential>,
    /// Headers of the requester that are passed on. What the server's entry and the protocol set wins.
    pub passthrough: &'a HeaderMap,
}

/// The side that sent a request.
#[derive(Clone, Copy, Debug)]
pub enum Requester<'a> {
    /// A modern client of a relay.
    Modern {
        /// The client's caller. Sessions at legacy servers are never shared between two callers.
        caller: &'a Caller,
        /// The relay's endpoint that the client called, such as a gateway's name.
        endpoint: &'a str,
        /// The level from which on this request asks for log messages.
        log: Option<LogLevel>,
    },
    /// A legacy client of a relay, in its session.
    Legacy {
        /// The client's session.
        conversation: &'a Conversation,
        /// Set when the client cancels the request.
        cancelled: &'a Cancellation,
    },
    /// This process itself. The server can ask it nothing.
    Internal,
}

impl UpstreamRequest<'_> {
    /// What a server of era `upstream` may ask. A modern client is answered at once, so a call in which a legacy server
    /// asks has to be suspended: where `may_suspend` is false, such a server may ask nothing.
    pub(crate) fn capabilities_at(&self, upstream: Era, may_suspend: bool) -> ClientCapabilities {
        match (&self.requester, upstream) {
            (Requester::Modern { .. }, Era::Legacy) if !may_suspend => ClientCapabilities::NONE,
            _ => self.capabilities,
        }
    }
}

impl<'a> Requester<'a> {
    /// The requester's era; `None` for [`Requester::Internal`], which takes answers as they come.
    pub fn era(&self) -> Option<Era> {
        match self {
            Self::Modern { .. } => Some(Era::Modern),
            Self::Legacy { .. } => Some(Era::Legacy),
            Self::Internal => None,
        }
    }

    /// The protocol version of a legacy client's session.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Legacy { conversation, .. } => Some(conversation.version()),
            _ => None,
        }
    }

    pub(crate) fn cancelled(&self) -> Option<&'a Cancellation> {
        match self {
            Self::Legacy { cancelled, .. } => Some(cancelled),
            _ => None,
        }
    }

    /// The key of the conversation that this request belongs to: equal for the same conversation, and for no other.
    pub(crate) fn conversation_key(&self) -> Option<Arc<str>> {
        match self {
            Self::Modern { caller, endpoint, .. } => Some(format!("caller\n{endpoint}\n{}", caller.subject).into()),
            Self::Legacy { conversation, .. } => Some(conversation.id()),
            Self::Internal => None,
        }
    }

    /// The level from which on the requester wants log messages, if it set one.
    pub fn level(&self) -> Option<LogLevel> {
        match self {
            Self::Modern { log, .. } => *log,
            Self::Legacy { conversation, .. } => conversation.level(),
            Self::Internal => None,
        }
    }

    /// Whether an upstream session that logs from level number `set` on suits this requester: a session of its own has to
    /// log exactly from `level` on, a shared one at least.
    pub(crate) fn accepts_level(&self, level: LogLevel, set: u8) -> bool {
        match self {
            Self::Legacy { .. } => set == level.number(),
            _ => set != 0 && set <= level.number(),
        }
    }

    /// What the end of the client's connection means: 2026-07-28 reads it as a cancellation, older versions do not
    /// (basic/cancellation).
    pub(crate) fn on_disconnect(&self) -> DisconnectPolicy {
        match self {
            Self::Legacy { cancelled, .. } => DisconnectPolicy::CancelsIf((*cancelled).clone()),
            _ => DisconnectPolicy::Cancels,
        }
    }
}
