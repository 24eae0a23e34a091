//! The use of a legacy session by one call of a modern client that has capabilities.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portolan_core::{RpcResponse, UpstreamCredential};
use portolan_wire::{
    envelope::{Message, Notification},
    error::ErrorObject,
    id::RequestId,
    meta,
    method::Method,
    object::RawObject,
};

use crate::{
    http_server::open_session::{OpenSession, refuse_request, tell},
    server_requests::response,
    session::{
        SessionUse,
        listener::{CallGuard, is_of_a_call},
        pool::SessionPool,
    },
};

/// A call in its session. On drop the session is free for the next call, unless something may still go on in it.
#[derive(Debug)]
pub(crate) struct ExclusiveSession {
    pool: Arc<SessionPool>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    /// Receives messages of the GET stream; `None` if the server has no such stream.
    call_guard: Option<CallGuard>,
    /// The id of the call, which is its progress token as well.
    sent: Option<RequestId>,
    /// Server requests of the GET stream without a response.
    asked: Vec<RequestId>,
    /// `true` once there was one.
    was_asked: bool,
    /// `true` if no other call is in the session.
    is_exclusive: bool,
    answered: bool,
    session: Option<SessionUse>,
}

impl ExclusiveSession {
    /// Takes a session for a call; with `is_exclusive`, the call has it for itself.
    pub(crate) fn take(
        pool: &Arc<SessionPool>,
        session: &SessionUse,
        open: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
        is_exclusive: bool,
    ) -> Self {
        Self {
            pool: pool.clone(),
            open: open.clone(),
            credential: credential.clone(),
            call_guard: session.enter(pool, open, is_exclusive),
            sent: None,
            asked: Vec::new(),
            was_asked: false,
            is_exclusive,
            answered: true,
            session: Some(session.clone()),
        }
    }

    /// Waits until the GET stream is open, at most for this long.
    pub(crate) async fn settle(&self, at_most: Duration) {
        if let Some(call_guard) = &self.call_guard {
            call_guard.listener().settled(at_most).await;
        }
    }

    /// Records that the call was sent under this id, which is also its progress token. Late messages of other calls are
    /// told apart by it.
    pub(crate) fn begin(&mut self, sent: &RequestId) {
        self.answered = false;
        self.sent = Some(sent.clone());
    }

    /// Returns a message of the GET stream that can only belong to this call.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        let Some(call_guard) = &mut self.call_guard else {
            return Poll::Pending;
        };
        loop {
            match std::task::ready!(call_guard.poll_said(cx)) {
                Message::Request(request) if request.method == Method::Ping => {
                    refuse_request(self.pool.http(), &self.open, &self.credential, &request);
                }
                Message::Notification(told) if !is_of(&told, self.sent.as_ref()) => {}
                said => return Poll::Ready(said),
            }
        }
    }

    /// Returns `true` if messages can arrive on a GET stream.
    pub(crate) fn hears(&self) -> bool {
        self.call_guard.is_some() && self.is_exclusive
    }

    /// Records that a server request of the GET stream was passed to the client.
    pub(crate) fn put(&mut self, server_request: RequestId) {
        self.was_asked = true;
        self.asked.push(server_request);
    }

    /// Records that a server request has its response.
    pub(crate) fn answered_to(&mut self, server_request: &RequestId) {
        self.asked.retain(|asked| asked != server_request);
    }

    /// Records that the call becomes a task of this session, which may send requests later: no other call uses the session
    /// then.
    pub(crate) fn outlives_its_call(&mut self) {
        if let Some(session) = &self.session {
            session.pin();
        }
    }

    /// Records that the call has its response.
    pub(crate) fn over(mut self) {
        self.answered = true;
        if self.is_exclusive
            && let Some(session) = self.session.take_if(|session| session.is_pinned())
        {
            self.pool.reserve(session);
        }
    }

    /// Leaves the call to the request that resumes its stream. Returns `false` if the server sends requests on the GET
    /// stream, which only this replica reads.
    pub(crate) fn leave(&mut self) -> bool {
        if self.was_asked {
            return false;
        }
        self.answered = true;
        if self.is_exclusive
            && let Some(session) = self.session.take()
        {
            self.pool.reserve(session);
        }
        true
    }
}

/// Returns `true` if a notification may belong to the call that was sent under this id.
fn is_of(told: &Notification, sent: Option<&RequestId>) -> bool {
    if told.method != Method::Progress {
        return true;
    }
    let params = told.params.as_ref().and_then(|raw| RawObject::parse_checked(raw).ok());
    let token = params.as_ref().and_then(|params| params.get(meta::PROGRESS_TOKEN));
    token.is_some_and(|token| sent.is_some_and(|sent| **token == *sent.as_raw()))
}

impl Drop for ExclusiveSession {
    fn drop(&mut self) {
        let unheard = self.call_guard.as_mut().map(CallGuard::leave).unwrap_or_default();
        let mut astray = self
            .call_guard
            .as_ref()
            .is_some_and(|call_guard| call_guard.listener().is_astray());
        for message in unheard {
            if let Message::Request(request) = message {
                refuse_request(self.pool.http(), &self.open, &self.credential, &request);
                astray |= is_of_a_call(&request.method);
            }
        }
        for server_request in &self.asked {
            let over = ErrorObject::internal("the call is over").to_bytes();
            let text = response(server_request, &RpcResponse::Error(over));
            tell(self.pool.http(), &self.open, &self.credential, text);
        }
        let Some(session) = self.session.take() else { return };
        // A later request on the GET stream might belong to this call.
        let is_clean = self.answered && self.asked.is_empty() && !astray;
        if self.is_exclusive && (!is_clean || self.pool.http().has_no_get_stream()) {
            self.pool.let_go(&session, is_clean);
        }
    }
}
