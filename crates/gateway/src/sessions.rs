//! Sessions of legacy clients.
//!
//! A session id is a sealed token, so any replica can serve it without asking. What a replica remembers beside it (the
//! upstream sessions that belong to it, its calls under way) may be forgotten at any time and made anew. What it has
//! subscribed to, and that it has ended, is kept in the store under `session/<nonce>`.

mod active;
mod calls;
mod id;
mod state;
mod store;
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
    state::State,
    store::Sessions,
    tasks::{SessionTasks, TaskRecorder},
};
use crate::replay::StreamSession;

/// One session, as this replica knows it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The version that was agreed on.
    pub(crate) version: ProtocolVersion,
    /// What the client can be asked.
    pub(crate) capabilities: ClientCapabilities,
    /// The name of the client software, as it stated when it opened the session; other replicas do not know it.
    pub(crate) client: Option<Arc<str>>,
    /// The sessions at servers that belong to this one.
    pub(crate) conversation: Conversation,
    /// The tasks that its calls have become.
    pub(crate) tasks: Arc<SessionTasks>,
    nonce: [u8; NONCE_LEN],
    bound_to: [u8; 16],
    /// The caller that was found to be the one that it is bound to.
    found: OnceLock<(GatewayName, Arc<Caller>)>,
    ends: i64,
    used: AtomicI64,
    /// When it was last made sure that no replica has ended it.
    checked: AtomicI64,
    calls: Mutex<HashMap<RequestId, Cancellation>>,
    /// The resources that it has subscribed to.
    uris: Mutex<BTreeSet<Arc<str>>>,
    subscriber: OnceLock<Arc<dyn SessionSubscriber>>,
}

/// What sends a session the notifications that belong to none of its calls.
pub(crate) trait SessionSubscriber: Any + Debug + Send + Sync {
    /// Ends all streams: the session is over.
    fn close(&self);

    /// Whether a stream is open.
    fn has_reader(&self) -> bool;

    /// Takes over what the session has subscribed to, and returns whether that is something else than before.
    fn update(&self, uris: BTreeSet<Arc<str>>, level: Option<LogLevel>) -> bool;
}

impl Session {
    /// The subscriber of this session, made if there is none.
    pub(crate) fn subscriber_or(
        &self,
        make: impl FnOnce() -> Arc<dyn SessionSubscriber>,
    ) -> &Arc<dyn SessionSubscriber> {
        self.subscriber.get_or_init(make)
    }

    /// The subscriber of this session, if there is one.
    pub(crate) fn subscriber(&self) -> Option<&Arc<dyn SessionSubscriber>> {
        self.subscriber.get()
    }

    /// The session as replay knows it.
    pub(crate) fn stream_session(&self) -> StreamSession {
        StreamSession {
            nonce: self.nonce(),
            version: self.version,
        }
    }

    /// The resources that it has subscribed to.
    pub(crate) fn subscriptions(&self) -> BTreeSet<Arc<str>> {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends what belongs to this session, and returns its sessions at servers, which the caller has to close.
    fn close(&self) -> Vec<Arc<UpstreamSession>> {
        if let Some(subscriber) = self.subscriber() {
            subscriber.close();
        }
        self.calls().values().for_each(Cancellation::cancel);
        self.conversation.end()
    }
}
