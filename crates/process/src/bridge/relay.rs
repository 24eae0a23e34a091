//! Translates the events of a call for its caller.

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
use crate::channel::CallRef;

/// The caller's side of a call.
pub(super) enum Relay {
    /// A modern caller, without a session.
    Modern {
        /// The caller's request id.
        id: RequestId,
        /// The call is a `subscriptions/listen`.
        listens: bool,
    },
    /// A caller in a session.
    Legacy {
        /// The caller's request id.
        id: RequestId,
        /// Its slot in the session, until the caller's connection is lost.
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

    /// Takes the slot in the session of a call that goes on without a connection.
    pub(super) fn detach(&mut self) -> Option<CallSlot> {
        match self {
            Self::Modern { .. } => None,
            Self::Legacy { slot, .. } => slot.take(),
        }
    }

    /// Returns a notification of the call as a message.
    pub(super) fn notification(&self, notification: ChannelNotification) -> Bytes {
        let method = Method::parse(&notification.method);
        let params = match self.listens() {
            true => notification.params.map(|params| self.subscribed(&method, params)),
            false => notification.params,
        };
        envelope::notification(&method, params.as_deref())
    }

    /// Returns the response with the caller's own subscription id.
    pub(super) fn answer(&self, answer: RpcResponse) -> RpcResponse {
        match answer {
            RpcResponse::Result(raw) if self.listens() => RpcResponse::Result(self.subscription(raw)),
            other => other,
        }
    }

    /// Returns the result that ends a subscription in order.
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

    /// Returns a server request as a request to the client. `None` if the client does not accept it; the server gets an
    /// error then.
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

    /// Replaces the subscription id, if there is one, by the caller's request id.
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

/// Returns the response to a server request that the client does not accept.
pub(super) fn no_client() -> RpcResponse {
    let error = ErrorObject::new(METHOD_NOT_FOUND, "this client does not accept the request");
    RpcResponse::Error(error.to_bytes())
}
