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

use super::{
    http::{HttpUpstream, TakenUp},
    lease::Lease,
    session::{Open, UpstreamSession},
};
use crate::{cancellation::Cancellation, question::Seat};

/// A call at a legacy server that is not answered yet. Closing the connection does not cancel it there
/// (2025-11-25, basic/transports), so a notification has to be sent.
#[derive(Debug)]
pub(crate) struct Unanswered {
    told: Option<Told>,
    hanging_up: HangingUp,
}

/// What it means that the client's connection ends before the answer.
#[derive(Debug)]
pub(crate) enum HangingUp {
    /// The call is cancelled (2026-07-28).
    Cancels,
    /// The call goes on, unless the client has cancelled it by then (2025-11-25 and older).
    CancelsIf(Cancellation),
}

#[derive(Debug)]
struct Told {
    /// In use as long as the call is open, so that no pool ends it meanwhile.
    _session: Option<Arc<UpstreamSession>>,
    /// What is heard beside the call's stream.
    lease: Option<Box<Lease>>,
    http: Arc<HttpUpstream>,
    open: Arc<Open>,
    credential: Arc<UpstreamCredential>,
    id: RequestId,
}

impl Unanswered {
    /// A call that needs no notification: closing the connection cancels it.
    pub(crate) fn modern() -> Self {
        Self {
            told: None,
            hanging_up: HangingUp::Cancels,
        }
    }

    /// A call under `id` in the session `open`, of `session` if this replica keeps it.
    pub(crate) fn legacy(
        session: Option<Arc<UpstreamSession>>,
        http: Arc<HttpUpstream>,
        open: Arc<Open>,
        credential: Arc<UpstreamCredential>,
        id: RequestId,
        hanging_up: HangingUp,
    ) -> Self {
        Self {
            told: Some(Told {
                _session: session,
                lease: None,
                http,
                open,
                credential,
                id,
            }),
            hanging_up,
        }
    }

    /// The same, and it is heard as well what the server says beside the call's stream.
    pub(crate) fn hearing(mut self, lease: Option<Box<Lease>>) -> Self {
        if let Some(told) = &mut self.told {
            told.lease = lease;
        }
        self
    }

    /// Whether something can be heard there.
    pub(crate) fn hears(&self) -> bool {
        self.lease().is_some_and(Lease::hears)
    }

    /// What the server says there and can only mean this call.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        match self.told.as_mut().and_then(|told| told.lease.as_mut()) {
            Some(lease) => lease.poll_said(cx),
            None => Poll::Pending,
        }
    }

    /// A question that was said there is put to the client.
    pub(crate) fn put(&mut self, question: &RequestId) {
        if let Some(lease) = self.told.as_mut().and_then(|told| told.lease.as_mut()) {
            lease.put(question.clone());
        }
    }

    /// Brings the server an answer to a question.
    pub(crate) fn answer(&mut self, question: &RequestId, text: Bytes) {
        if let Some(told) = &mut self.told {
            told.tell(text);
            if let Some(lease) = &mut told.lease {
                lease.answered_to(question);
            }
        }
    }

    /// Leaves the call to whoever takes its stream up. Whether that can be.
    pub(crate) fn leave(&mut self) -> bool {
        let lease = self.told.as_mut().and_then(|told| told.lease.as_mut());
        if lease.is_some_and(|lease| !lease.leave()) {
            return false;
        }
        self.told = None;
        true
    }

    fn lease(&self) -> Option<&Lease> {
        self.told.as_ref()?.lease.as_deref()
    }

    /// Tells the server something in the session of the call.
    pub(crate) fn reply(&self, text: Bytes) {
        if let Some(told) = &self.told {
            told.tell(text);
        }
    }

    /// In which session the call is, as any replica can take part in it.
    pub(crate) fn seat(&self) -> Option<Seat> {
        self.told.as_ref()?.open.seat()
    }

    /// Takes the stream of this call up again, from after the event `from`, when `wait` is over.
    pub(crate) fn take_up(&self, from: Bytes, wait: Duration) -> Option<BoxFuture<'static, TakenUp>> {
        let told = self.told.as_ref()?;
        let (http, open, credential) = (told.http.clone(), told.open.clone(), told.credential.clone());
        Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            http.take_up(&open, &credential, &from).await
        }))
    }

    /// The answer is there.
    pub(crate) fn answered(&mut self) {
        if let Some(lease) = self.told.take().and_then(|told| told.lease) {
            lease.over();
        }
    }

    /// Nobody wants the answer.
    pub(crate) fn cancel(&mut self, reason: &'static str) {
        if let Some(told) = self.told.take() {
            told.send(reason);
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        match &self.hanging_up {
            HangingUp::Cancels => self.cancel("the client has gone away"),
            HangingUp::CancelsIf(cancelled) if cancelled.is_cancelled() => self.cancel("the client has cancelled"),
            HangingUp::CancelsIf(_) => {}
        }
    }
}

impl Told {
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

/// Tells a server something in a session. The session waits for this before it ends, and so does the gateway.
pub(super) fn tell(http: &Arc<HttpUpstream>, open: &Arc<Open>, credential: &Arc<UpstreamCredential>, text: Bytes) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let telling = {
        let (http, open, credential) = (http.clone(), open.clone(), credential.clone());
        async move { http.tell(&open, &credential, text).await }
    };
    let telling = http.tasks().track_future(telling);
    open.telling.spawn_on(telling, &runtime);
}
