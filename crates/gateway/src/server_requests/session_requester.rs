//! Questions of a legacy server that come outside of the streams of its calls: on the GET stream of a client's own session
//! there.
//!
//! 2025-11-25 wants them on the stream of the call (basic/transports). SDKs whose tools ask without saying for which call,
//! such as `server.elicitInput` of the TypeScript SDK, send them here in the middle of it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use portolan_client::{ClientCapabilities, MAX_SERVER_REQUESTS};
use portolan_core::{RpcResponse, ServerRequestPolicy};
use portolan_wire::{
    envelope::{self, Notification},
    id::RequestId,
    method::Method,
    object::RawObject,
};

use super::{ServerRequests, WaitGuard, token::ResponseRoute};
use crate::{
    replicas::Handle,
    sessions::{Session, SessionTasks},
};

/// Who is asked in one session of a legacy client.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequester {
    server_requests: Arc<ServerRequests>,
    session: Handle,
    capabilities: ClientCapabilities,
    /// The tasks of the session.
    pub(crate) session_tasks: Arc<SessionTasks>,
}

/// What one server has asked there and waits for the answers to.
#[derive(Debug)]
pub(crate) struct PendingRequests {
    requester: SessionRequester,
    capabilities: ClientCapabilities,
    /// Taken while something is open.
    guard: Option<WaitGuard>,
    open: HashMap<u64, OpenRequest>,
    next: u64,
}

/// A question that was put.
#[derive(Debug)]
struct OpenRequest {
    /// The server's id of it.
    theirs: RequestId,
    /// The id under which the client was asked.
    ours: RequestId,
}

impl SessionRequester {
    pub(crate) fn new(server_requests: &Arc<ServerRequests>, session: &Session) -> Self {
        Self {
            server_requests: server_requests.clone(),
            session: session.nonce(),
            capabilities: session.capabilities,
            session_tasks: session.tasks.clone(),
        }
    }

    /// For a server that may ask so much.
    pub(crate) fn pending(&self, policy: ServerRequestPolicy) -> PendingRequests {
        PendingRequests {
            requester: self.clone(),
            capabilities: self.capabilities.within(policy),
            guard: None,
            open: HashMap::new(),
            next: 0,
        }
    }
}

impl PendingRequests {
    /// A question as it goes out to the client; nothing if this client cannot be asked it, or is asked too much already.
    pub(crate) fn put(&mut self, asked: &envelope::Request) -> Option<Bytes> {
        if self.open.len() >= MAX_SERVER_REQUESTS || !self.capabilities.permit(&asked.method, asked.params.as_ref()) {
            return None;
        }
        let server_requests = &self.requester.server_requests;
        let guard = self.guard.get_or_insert_with(|| server_requests.enter());
        let to = ResponseRoute::Call {
            location: server_requests.replicas.location(guard.handle),
            key: self.next,
        };
        let ours = server_requests.mint(self.requester.session, to)?;
        let message = envelope::request(&ours, &asked.method, asked.params.as_deref());
        let theirs = asked.id.clone();
        self.open.insert(self.next, OpenRequest { theirs, ours });
        self.next += 1;
        Some(message)
    }

    /// The next answer, and the id under which the server waits for it. Dropped, it loses nothing.
    pub(crate) async fn answer(&mut self) -> (RequestId, RpcResponse) {
        loop {
            let Some(guard) = &mut self.guard else {
                std::future::pending().await
            };
            let (key, answer) = guard.next().await;
            if let Some(put) = self.take(key) {
                return (put.theirs, answer);
            }
        }
    }

    /// The same for the client, if the server takes back what it has asked.
    pub(crate) fn take_back(&mut self, notification: &Notification) -> Option<Bytes> {
        if notification.method != Method::Cancelled {
            return None;
        }
        let mut params = RawObject::parse_checked(notification.params.as_ref()?).ok()?;
        let theirs = RequestId::parse(params.get("requestId")?).ok()?;
        let key = self
            .open
            .iter()
            .find(|(_, put)| put.theirs == theirs)
            .map(|(key, _)| *key)?;
        let put = self.take(key)?;
        params.set("requestId", put.ours.to_bytes());
        Some(envelope::notification(&Method::Cancelled, Some(&params.to_bytes())))
    }

    fn take(&mut self, key: u64) -> Option<OpenRequest> {
        let put = self.open.remove(&key);
        if self.open.is_empty() {
            self.guard = None;
        }
        put
    }
}
