//! Telling a legacy server that nobody waits for an answer any more.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use portolan_core::UpstreamCredential;
use portolan_wire::{
    envelope::{self, Message},
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use crate::{
    cancellation::DisconnectPolicy,
    http_server::{
        HttpServer,
        open_session::{OpenSession, tell},
        resumed_stream::ResumeOutcome,
    },
    session::{SessionUse, exclusive::ExclusiveSession},
    session_ref::UpstreamSessionRef,
};

/// A call at a legacy server that is not answered yet. Closing the connection does not cancel it there
/// (2025-11-25, basic/transports), so a notification has to be sent.
#[derive(Debug)]
pub(crate) struct CancelOnDrop {
    told: Option<SentCall>,
    on_disconnect: DisconnectPolicy,
}

#[derive(Debug)]
struct SentCall {
    /// In use as long as the call is open, so that no pool ends it meanwhile.
    _session: Option<SessionUse>,
    /// What is heard beside the call's stream.
    exclusive: Option<Box<ExclusiveSession>>,
    http: Arc<HttpServer>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    id: RequestId,
}

impl CancelOnDrop {
    /// A call that needs no notification: closing the connection cancels it.
    pub(crate) fn modern() -> Self {
        Self {
            told: None,
            on_disconnect: DisconnectPolicy::Cancels,
        }
    }

    /// A call under `id` in the session `open`, of `session` if this replica keeps it.
    pub(crate) fn legacy(
        session: Option<SessionUse>,
        http: Arc<HttpServer>,
        open: Arc<OpenSession>,
        credential: Arc<UpstreamCredential>,
        id: RequestId,
        on_disconnect: DisconnectPolicy,
    ) -> Self {
        Self {
            told: Some(SentCall {
                _session: session,
                exclusive: None,
                http,
                open,
                credential,
                id,
            }),
            on_disconnect,
        }
    }

    /// The same, and it is heard as well what the server says beside the call's stream.
    pub(crate) fn listening(mut self, exclusive: Option<Box<ExclusiveSession>>) -> Self {
        if let Some(told) = &mut self.told {
            told.exclusive = exclusive;
        }
        self
    }

    /// Whether something can be heard there.
    pub(crate) fn hears(&self) -> bool {
        self.exclusive().is_some_and(ExclusiveSession::hears)
    }

    /// What the server says there and can only mean this call.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        match self.told.as_mut().and_then(|told| told.exclusive.as_mut()) {
            Some(exclusive) => exclusive.poll_said(cx),
            None => Poll::Pending,
        }
    }

    /// A question that was said there is put to the client.
    pub(crate) fn put(&mut self, server_request: &RequestId) {
        if let Some(exclusive) = self.told.as_mut().and_then(|told| told.exclusive.as_mut()) {
            exclusive.put(server_request.clone());
        }
    }

    /// Brings the server an answer to a question.
    pub(crate) fn answer(&mut self, server_request: &RequestId, text: Bytes) {
        if let Some(told) = &mut self.told {
            told.tell(text);
            if let Some(exclusive) = &mut told.exclusive {
                exclusive.answered_to(server_request);
            }
        }
    }

    /// Leaves the call to whoever takes its stream up. Whether that can be.
    pub(crate) fn leave(&mut self) -> bool {
        let exclusive = self.told.as_mut().and_then(|told| told.exclusive.as_mut());
        if exclusive.is_some_and(|exclusive| !exclusive.leave()) {
            return false;
        }
        self.told = None;
        true
    }

    fn exclusive(&self) -> Option<&ExclusiveSession> {
        self.told.as_ref()?.exclusive.as_deref()
    }

    /// Tells the server something in the session of the call.
    pub(crate) fn reply(&self, text: Bytes) {
        if let Some(told) = &self.told {
            told.tell(text);
        }
    }

    /// In which session the call is, as any replica can take part in it.
    pub(crate) fn session_ref(&self) -> Option<UpstreamSessionRef> {
        self.told.as_ref()?.open.reference()
    }

    /// Takes the stream of this call up again, from after the event `from`, when `wait` is over.
    pub(crate) fn take_up(&self, from: Bytes, wait: Duration) -> Option<BoxFuture<'static, ResumeOutcome>> {
        let told = self.told.as_ref()?;
        let (http, open, credential) = (told.http.clone(), told.open.clone(), told.credential.clone());
        Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            http.take_up(&open, &credential, &from).await
        }))
    }

    /// The answer is there.
    pub(crate) fn answered(&mut self) {
        if let Some(exclusive) = self.told.take().and_then(|told| told.exclusive) {
            exclusive.over();
        }
    }

    /// Nobody wants the answer.
    pub(crate) fn cancel(&mut self, reason: &'static str) {
        if let Some(told) = self.told.take() {
            told.send(reason);
        }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        match &self.on_disconnect {
            DisconnectPolicy::Cancels => self.cancel("the client has gone away"),
            DisconnectPolicy::CancelsIf(cancelled) if cancelled.is_cancelled() => {
                self.cancel("the client has cancelled")
            }
            DisconnectPolicy::CancelsIf(_) => {}
        }
    }
}

impl SentCall {
    fn send(&self, reason: &'static str) {
        let mut params = RawObject::new();
        params.set("requestId", self.id.to_bytes());
        params.set("reason", object::quote(reason));
        self.tell(envelope::notification(&Method::Cancelled, Some(&params.to_bytes())));
    }

    fn tell(&self, text: Bytes) {
        tell(&self.http, &self.open, &self.credential, text);
    }
}
