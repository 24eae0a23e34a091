//! Sessions of legacy clients.
//!
//! A session id is a sealed token, so any replica can serve it without a lookup. What a replica remembers besides
//! (upstream sessions, calls in flight) may be dropped at any time and is built anew. Subscriptions, and that the
//! session has ended, are kept in the session store under `session/<nonce>`.

mod active;
mod calls;
mod id;
mod lookup;
mod state;
mod tasks;

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::AtomicI64},
};

use portolan_client::{Cancellation, ClientCapabilities, Conversation, UpstreamSession};
use portolan_core::{Caller, GatewayName};
use portolan_wire::{era::ProtocolVersion, id::RequestId, level::LogLevel};

use self::id::NONCE_LEN;
pub(crate) use self::{
    calls::CallHandle,
    id::bind,
    lookup::Sessions,
    state::State,
    tasks::{SessionTasks, TaskRecorder},
};
use crate::replay::StreamSession;

/// One session, as this replica knows it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The negotiated protocol version.
    pub(crate) version: ProtocolVersion,
    /// Which server requests the client accepts.
    pub(crate) capabilities: ClientCapabilities,
    /// The name of the client software, as it stated when it opened the session; other replicas do not know it.
    pub(crate) client: Option<Arc<str>>,
    /// The upstream sessions that belong to this one.
    pub(crate) conversation: Conversation,
    /// The tasks created by its calls.
    pub(crate) tasks: Arc<SessionTasks>,
    nonce: [u8; NONCE_LEN],
    bound_to: [u8; 16],
    /// The last gateway and caller that were verified against `bound_to`.
    verified: OnceLock<(GatewayName, Arc<Caller>)>,
    expires: i64,
    used: AtomicI64,
    /// When the store was last checked for an end of the session, in seconds.
    checked: AtomicI64,
    calls: Mutex<HashMap<RequestId, Cancellation>>,
    /// The URIs of the resources the session is subscribed to.
    uris: Mutex<BTreeSet<Arc<str>>>,
    subscriber: OnceLock<Arc<dyn SessionSubscriber>>,
}

/// Sends a session the notifications that belong to none of its calls.
pub(crate) trait SessionSubscriber: Any + Debug + Send + Sync {
    /// Ends all streams, because the session has ended.
    fn close(&self);

    /// Returns whether a stream is open.
    fn has_reader(&self) -> bool;

    /// Sets the subscriptions and the log level; returns whether they changed.
    fn update(&self, uris: BTreeSet<Arc<str>>, level: Option<LogLevel>) -> bool;
}

impl Session {
    /// Returns the subscriber of this session, creating it with `make` if there is none.
    pub(crate) fn subscriber_or(
        &self,
        make: impl FnOnce() -> Arc<dyn SessionSubscriber>,
    ) -> &Arc<dyn SessionSubscriber> {
        self.subscriber.get_or_init(make)
    }

    /// Returns the subscriber of this session, if there is one.
    pub(crate) fn subscriber(&self) -> Option<&Arc<dyn SessionSubscriber>> {
        self.subscriber.get()
    }

    /// Returns the part of the session that replay needs.
    pub(crate) fn stream_session(&self) -> StreamSession {
        StreamSession {
            nonce: self.nonce(),
            version: self.version,
        }
    }

    /// The URIs of the resources the session is subscribed to.
    pub(crate) fn subscriptions(&self) -> BTreeSet<Arc<str>> {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the calls and streams of this session, and returns its upstream sessions, which the caller must close.
    fn close(&self) -> Vec<Arc<UpstreamSession>> {
        if let Some(subscriber) = self.subscriber() {
            subscriber.close();
        }
        self.calls().values().for_each(Cancellation::cancel);
        self.conversation.end()
    }
}
