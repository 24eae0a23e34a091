//! What of a call has to be said in the caller's words.

use bytes::Bytes;
use portolan_core::{ChannelNotification, RpcResponse, ServerRequest};
use portolan_wire::{
    envelope,
    era::Era,
    error::{ErrorObject, METHOD_NOT_FOUND},
    id::RequestId,
    meta::{META, SUBSCRIPTION_ID},
    method::Method,
    object::RawObject,
};

use super::session::CallSlot;
use crate::dispatcher::CallRef;

/// How a call is told to its caller.
pub(super) enum Relay {
    /// Statelessly.
    Modern {
        /// The caller's.
        id: RequestId,
        /// It is a `subscriptions/listen`.
        listens: bool,
    },
    /// Within a session.
    Legacy {
        /// The caller's.
        id: RequestId,
        /// Its place in the session, until it is left to itself.
        slot: Option<CallSlot>,
    },
}

impl Relay {
    pub(super) fn id(&self) -> &RequestId {
        match self {
            Self::Modern { id, .. } | Self::Legacy { id, .. } => id,
        }
    }

    pub(super) fn era(&self) -> Era {
        match self {
            Self::Modern { .. } => Era::Modern,
            Self::Legacy { .. } => Era::Legacy,
        }
    }

    pub(super) fn listens(&self) -> bool {
        matches!(self, Self::Modern { listens: true, .. })
    }

    /// Gives the place in the session, where the call shall go on without anybody listening.
    pub(super) fn detach(&mut self) -> Option<CallSlot> {
        match self {
            Self::Modern { .. } => None,
            Self::Legacy { slot, .. } => slot.take(),
        }
    }

    /// A notification of the call as a message.
    pub(super) fn notification(&self, notification: ChannelNotification) -> Bytes {
        let method = Method::parse(&notification.method);
        let params = match self.listens() {
            true => notification.params.map(|params| self.subscribed(&method, params)),
            false => notification.params,
        };
        envelope::notification(&method, params.as_deref())
    }

    /// The answer with the caller's own subscription id.
    pub(super) fn answer(&self, answer: RpcResponse) -> RpcResponse {
        match answer {
            RpcResponse::Result(raw) if self.listens() => RpcResponse::Result(self.subscription(raw)),
            other => other,
        }
    }

    /// The result that ends a subscription in order.
    pub(super) fn subscription_end(&self) -> RpcResponse {
        let result = Bytes::from_static(br#"{"resultType":"complete"}"#);
        let mut meta = RawObject::new();
        meta.set(SUBSCRIPTION_ID, self.id().to_bytes());
        let ended = RawObject::parse(&result).map(|mut result| {
            result.set(META, meta.to_bytes());
            result.to_bytes()
        });
        RpcResponse::Result(ended.unwrap_or(result))
    }

    /// The question as a request to the client. `None` if the client cannot be asked; then the server is told.
    pub(super) fn question(&self, question: ServerRequest, handle: &CallRef) -> Option<Bytes> {
        let method = Method::parse(&question.method);
        let slot = match self {
            Self::Legacy { slot: Some(slot), .. } if slot.accepts(&method) => slot,
            _ => {
                handle.respond(question.key, no_client());
                return None;
            }
        };
        let id = slot.register_request(handle.clone(), question.key);
        Some(envelope::request(&id, &method, question.params.as_deref()))
    }

    fn subscribed(&self, method: &Method, params: Bytes) -> Bytes {
        let params = self.subscription(params);
        if *method != Method::Cancelled {
            return params;
        }
        match RawObject::parse(&params) {
            Ok(mut members) => {
                members.set("requestId", self.id().to_bytes());
                members.to_bytes()
            }
            Err(_) => params,
        }
    }

    /// The same with the caller's id in place of ours, where there is one.
    fn subscription(&self, raw: Bytes) -> Bytes {
        let replaced = RawObject::parse(&raw).ok().and_then(|mut members| {
            let mut meta = RawObject::parse(members.get(META)?).ok()?;
            meta.get(SUBSCRIPTION_ID)?;
            meta.set(SUBSCRIPTION_ID, self.id().to_bytes());
            members.set(META, meta.to_bytes());
            Some(members.to_bytes())
        });
        replaced.unwrap_or(raw)
    }
}

/// What a server is told whose question cannot be asked.
pub(super) fn no_client() -> RpcResponse {
    let error = ErrorObject::new(METHOD_NOT_FOUND, "this client cannot be asked");
    RpcResponse::Error(error.to_bytes())
}
