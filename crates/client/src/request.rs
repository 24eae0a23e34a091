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
    meta,
    method::Method,
    object::RawObject,
};

use crate::{
    cancellation::{Cancellation, DisconnectPolicy},
    capabilities::ClientCapabilities,
    conversation::Conversation,
    transform::{TaskIdTransform, UriRewrite},
};

/// A request to a server, with everything that a relay knows about it.
///
/// A program's own requests are easier to send with [`UpstreamServer::request`](crate::UpstreamServer::request).
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    /// The side that sent it.
    pub requester: Requester<'a>,
    /// The requester's id. The response has this id. The server sees an id of this client's own, because a requester's id may
    /// come back in another spelling.
    pub id: &'a RequestId,
    /// The method.
    pub method: &'a Method,
    /// The params, with the server's own names (of tools, prompts, resources) and `_meta` as the requester sent it.
    pub params: &'a RawObject,
    /// The capabilities to declare to a modern server, where they differ from those in `params`.
    pub declared: Option<&'a Bytes>,
    /// The capabilities of the requester that the server may use during the call.
    pub capabilities: ClientCapabilities,
    /// `true` if the tool's structured content may be another JSON value than an object (2026-07-28).
    pub odd_output: bool,
    /// How URIs of the server are rewritten in the response; `None` leaves them as they are.
    pub uris: Option<&'a Arc<UriRewrite>>,
    /// How task ids are rewritten in the response; `None` if the requester has no tasks.
    pub tasks: Option<&'a Arc<dyn TaskIdTransform>>,
    /// Arguments that a modern HTTP request repeats in headers (SEP-2243).
    pub mirrored: &'a [ParamHeader],
    /// The credential for the server.
    pub credential: &'a Arc<UpstreamCredential>,
    /// Headers of the requester that are passed on. Headers that the server's entry or the protocol sets take precedence.
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
        /// The lowest level of the log messages that this request asks for.
        log: Option<LogLevel>,
    },
    /// A legacy client of a relay, in its session.
    Legacy {
        /// The client's session.
        conversation: &'a Conversation,
        /// Set when the client cancels the request.
        cancelled: &'a Cancellation,
    },
    /// This process itself. The server can send it no requests.
    Internal,
}

impl UpstreamRequest<'_> {
    /// Returns the capabilities that a server of era `upstream` may use. A modern client gets its response at once, so a
    /// call in which a legacy server sends a request has to be suspended: if `may_suspend` is false, such a server may
    /// send none.
    pub(crate) fn capabilities_at(&self, upstream: Era, may_suspend: bool) -> ClientCapabilities {
        match (&self.requester, upstream) {
            (Requester::Modern { .. }, Era::Legacy) if !may_suspend => ClientCapabilities::NONE,
            _ => self.capabilities,
        }
    }
}

impl UpstreamRequest<'_> {
    /// Returns the extensions that the requester has declared to servers: a raw JSON object. Sessions at a legacy server are
    /// opened with them.
    pub(crate) fn extensions(&self) -> Option<Bytes> {
        match &self.requester {
            Requester::Legacy { conversation, .. } => conversation.extensions().cloned(),
            Requester::Modern { .. } => {
                let meta = self.params.get(meta::META)?;
                // Most clients have none, which costs no parsing.
                memchr::memmem::find(meta, b"\"extensions\"")?;
                let members = RawObject::parse_checked(meta).ok()?;
                let own = RawObject::parse_checked(members.get(meta::CLIENT_CAPABILITIES)?).ok()?;
                let mut extensions = RawObject::parse_checked(own.get("extensions")?).ok()?;
                // Tasks are converted, and no extension of legacy servers.
                extensions.remove(meta::TASKS_EXTENSION);
                (!extensions.is_empty()).then(|| extensions.to_bytes())
            }
            Requester::Internal => None,
        }
    }
}

impl<'a> Requester<'a> {
    /// Returns the requester's era; `None` for [`Requester::Internal`], which takes responses in the server's era.
    pub fn era(&self) -> Option<Era> {
        match self {
            Self::Modern { .. } => Some(Era::Modern),
            Self::Legacy { .. } => Some(Era::Legacy),
            Self::Internal => None,
        }
    }

    /// Returns the protocol version of a legacy client's session.
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

    /// Returns the key of the conversation that this request belongs to, which no other conversation has.
    pub(crate) fn conversation_key(&self) -> Option<Arc<str>> {
        match self {
            Self::Modern { caller, endpoint, .. } => Some(format!("caller\n{endpoint}\n{}", caller.subject).into()),
            Self::Legacy { conversation, .. } => Some(conversation.id()),
            Self::Internal => None,
        }
    }

    /// Returns the lowest level of the log messages that the requester wants, if it set one.
    pub fn level(&self) -> Option<LogLevel> {
        match self {
            Self::Modern { log, .. } => *log,
            Self::Legacy { conversation, .. } => conversation.level(),
            Self::Internal => None,
        }
    }

    /// Returns `true` if an upstream session that logs from level number `set` on suits this requester. A session of its
    /// own has to log exactly from `level` on, a shared one at least from there.
    pub(crate) fn accepts_level(&self, level: LogLevel, set: u8) -> bool {
        match self {
            Self::Legacy { .. } => set == level.number(),
            _ => set != 0 && set <= level.number(),
        }
    }

    /// Returns the meaning of a closed client connection: a cancellation in 2026-07-28, none in older versions
    /// (basic/cancellation).
    pub(crate) fn on_disconnect(&self) -> DisconnectPolicy {
        match self {
            Self::Legacy { cancelled, .. } => DisconnectPolicy::CancelsIf((*cancelled).clone()),
            _ => DisconnectPolicy::Cancels,
        }
    }
}
