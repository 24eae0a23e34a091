//! Server requests of a legacy server that arrive outside of the streams of its calls: on the GET stream of the
//! client's upstream session.
//!
//! 2025-11-25 requires them on the stream of the call (basic/transports). SDK functions that do not know the call,
//! such as `server.elicitInput` of the TypeScript SDK, send them here.

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

/// Sends the requests of servers to the client of one legacy session.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequester {
    server_requests: Arc<ServerRequests>,
    session: Handle,
    capabilities: ClientCapabilities,
    /// The tasks of the session.
    pub(crate) session_tasks: Arc<SessionTasks>,
}

/// The open requests of one server in that session.
#[derive(Debug)]
pub(crate) struct PendingRequests {
    requester: SessionRequester,
    capabilities: ClientCapabilities,
    /// Held while a request is open.
    guard: Option<WaitGuard>,
    open: HashMap<u64, OpenRequest>,
    next: u64,
}

/// A request that was sent to the client.
#[derive(Debug)]
struct OpenRequest {
    /// The server's id.
    server_id: RequestId,
    /// The id given to the client.
    client_id: RequestId,
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

    /// Returns an empty set for a server with this policy.
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
    /// Registers a server request and returns the message for the client; `None` if the client does not support it, or
    /// too many are open.
    pub(crate) fn register(&mut self, request: &envelope::Request) -> Option<Bytes> {
        if self.open.len() >= MAX_SERVER_REQUESTS || !self.capabilities.permit(&request.method, request.params.as_ref())
        {
            return None;
        }
        let server_requests = &self.requester.server_requests;
        let guard = self.guard.get_or_insert_with(|| server_requests.register());
        let to = ResponseRoute::Call {
            location: server_requests.replicas.location(guard.handle),
            key: self.next,
        };
        let client_id = server_requests.seal_request_id(self.requester.session, to)?;
        let message = envelope::request(&client_id, &request.method, request.params.as_deref());
        let server_id = request.id.clone();
        self.open.insert(self.next, OpenRequest { server_id, client_id });
        self.next += 1;
        Some(message)
    }

    /// Returns the next response and the server's id of its request. Cancel-safe.
    pub(crate) async fn response(&mut self) -> (RequestId, RpcResponse) {
        loop {
            let Some(guard) = &mut self.guard else {
                std::future::pending().await
            };
            let (key, response) = guard.next().await;
            if let Some(open) = self.take(key) {
                return (open.server_id, response);
            }
        }
    }

    /// Returns the cancellation for the client, if the server cancels one of its requests.
    pub(crate) fn cancel(&mut self, notification: &Notification) -> Option<Bytes> {
        if notification.method != Method::Cancelled {
            return None;
        }
        let mut params = RawObject::parse_checked(notification.params.as_ref()?).ok()?;
        let server_id = RequestId::parse(params.get("requestId")?).ok()?;
        let key = self
            .open
            .iter()
            .find(|(_, open)| open.server_id == server_id)
            .map(|(key, _)| *key)?;
        let open = self.take(key)?;
        params.set("requestId", open.client_id.to_bytes());
        Some(envelope::notification(&Method::Cancelled, Some(&params.to_bytes())))
    }

    fn take(&mut self, key: u64) -> Option<OpenRequest> {
        let open = self.open.remove(&key);
        if self.open.is_empty() {
            self.guard = None;
        }
        open
    }
}
