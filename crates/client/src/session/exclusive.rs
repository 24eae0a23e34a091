//! The use of a session at a legacy server by one call of a modern client that can be asked something.

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

/// A call in its session. Dropped, the session is free for the next one; unless something may still be going on in it.
#[derive(Debug)]
pub(crate) struct ExclusiveSession {
    pool: Arc<SessionPool>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    /// What the call hears there; nothing where the server has no such stream.
    call_guard: Option<CallGuard>,
    /// The id that the call is sent under, which is its progress token as well.
    sent: Option<RequestId>,
    /// Questions that came beside the call's stream and are not answered.
    asked: Vec<RequestId>,
    /// Whether there was one.
    was_asked: bool,
    /// Whether no other call is made here meanwhile.
    is_exclusive: bool,
    answered: bool,
    session: Option<SessionUse>,
}

impl ExclusiveSession {
    /// Takes a session for a call; `is_exclusive`, if the call has it for itself.
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

    /// Waits until it is listened to what the server says here, for so long at most.
    pub(crate) async fn settle(&self, at_most: Duration) {
        if let Some(call_guard) = &self.call_guard {
            call_guard.listener().settled(at_most).await;
        }
    }

    /// The call is under way from now on, under this id, which is also its progress token: what comes here late of another
    /// call is told apart by it.
    pub(crate) fn begin(&mut self, sent: &RequestId) {
        self.answered = false;
        self.sent = Some(sent.clone());
    }

    /// What the server says beside the call's stream and can only mean this call.
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

    /// Whether anything can be said there.
    pub(crate) fn hears(&self) -> bool {
        self.call_guard.is_some() && self.is_exclusive
    }

    /// A question that was said there is put to the client.
    pub(crate) fn put(&mut self, server_request: RequestId) {
        self.was_asked = true;
        self.asked.push(server_request);
    }

    /// A question is answered, wherever it was said.
    pub(crate) fn answered_to(&mut self, server_request: &RequestId) {
        self.asked.retain(|asked| asked != server_request);
    }

    /// The call becomes a task of this session, which goes on after it and may ask as well: nobody else uses the session then.
    pub(crate) fn outlives_its_call(&mut self) {
        if let Some(session) = &self.session {
            session.pin();
        }
    }

    /// The call has its answer.
    pub(crate) fn over(mut self) {
        self.answered = true;
        if self.is_exclusive
            && let Some(session) = self.session.take_if(|session| session.is_pinned())
        {
            self.pool.reserve(session);
        }
    }

    /// Leaves the call to whoever takes up its stream; not if the server asks beside it, which is heard here alone.
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

/// Whether a notification may concern the call that was sent under this id.
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
        // What is asked there next might be about this call.
        let is_clean = self.answered && self.asked.is_empty() && !astray;
        if self.is_exclusive && (!is_clean || self.pool.http().has_no_get_stream()) {
            self.pool.let_go(&session, is_clean);
        }
    }
}
