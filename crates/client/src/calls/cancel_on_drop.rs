//! Cancels a call at a legacy server when nobody waits for its response.

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

/// A call at a server that has no response yet. At a legacy server, closing the connection does not cancel it (2025-11-25,
/// basic/transports), so a notification has to be sent.
#[derive(Debug)]
pub(crate) struct CancelOnDrop {
    told: Option<SentCall>,
    on_disconnect: DisconnectPolicy,
}

#[derive(Debug)]
struct SentCall {
    /// Held while the call is open, so that no pool ends the session.
    _session: Option<SessionUse>,
    /// Receives messages beside the call's stream.
    exclusive: Option<Box<ExclusiveSession>>,
    http: Arc<HttpServer>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    id: RequestId,
}

impl CancelOnDrop {
    /// Returns the guard of a call that needs no notification: closing the connection cancels it.
    pub(crate) fn modern() -> Self {
        Self {
            told: None,
            on_disconnect: DisconnectPolicy::Cancels,
        }
    }

    /// Returns the guard of the call `id` in the session `open`, of `session` if this replica keeps it.
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

    /// Also receives messages of the session's GET stream.
    pub(crate) fn listening(mut self, exclusive: Option<Box<ExclusiveSession>>) -> Self {
        if let Some(told) = &mut self.told {
            told.exclusive = exclusive;
        }
        self
    }

    /// Returns `true` if messages can arrive on a GET stream.
    pub(crate) fn hears(&self) -> bool {
        self.exclusive().is_some_and(ExclusiveSession::hears)
    }

    /// Returns a message of the GET stream that can only belong to this call.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        match self.told.as_mut().and_then(|told| told.exclusive.as_mut()) {
            Some(exclusive) => exclusive.poll_said(cx),
            None => Poll::Pending,
        }
    }

    /// Records that a server request of the GET stream was passed to the client.
    pub(crate) fn put(&mut self, server_request: &RequestId) {
        if let Some(exclusive) = self.told.as_mut().and_then(|told| told.exclusive.as_mut()) {
            exclusive.put(server_request.clone());
        }
    }

    /// Sends the client's response to a server request.
    pub(crate) fn answer(&mut self, server_request: &RequestId, text: Bytes) {
        if let Some(told) = &mut self.told {
            told.tell(text);
            if let Some(exclusive) = &mut told.exclusive {
                exclusive.answered_to(server_request);
            }
        }
    }

    /// Leaves the call to the request that resumes its stream. Returns `false` if that is not possible.
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

    /// Sends a message to the server in the session of the call.
    pub(crate) fn reply(&self, text: Bytes) {
        if let Some(told) = &self.told {
            told.tell(text);
        }
    }

    /// Returns the session of the call, as any replica can join it.
    pub(crate) fn session_ref(&self) -> Option<UpstreamSessionRef> {
        self.told.as_ref()?.open.reference()
    }

    /// Resumes the stream of this call after the event `from`, once `wait` is over.
    pub(crate) fn take_up(&self, from: Bytes, wait: Duration) -> Option<BoxFuture<'static, ResumeOutcome>> {
        let told = self.told.as_ref()?;
        let (http, open, credential) = (told.http.clone(), told.open.clone(), told.credential.clone());
        Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            http.take_up(&open, &credential, &from).await
        }))
    }

    /// Records that the response has arrived.
    pub(crate) fn answered(&mut self) {
        if let Some(exclusive) = self.told.take().and_then(|told| told.exclusive) {
            exclusive.over();
        }
    }

    /// Cancels the call.
    pub(crate) fn cancel(&mut self, reason: &'static str) {
        if let Some(told) = self.told.take() {
            told.send(reason);
        }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        match &self.on_disconnect {
            DisconnectPolicy::Cancels => self.cancel("the client closed its connection"),
            DisconnectPolicy::CancelsIf(cancelled) if cancelled.is_cancelled() => {
                self.cancel("the client cancelled the request")
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
