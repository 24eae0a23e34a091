//! Telling a legacy server that nobody waits for an answer any more.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use portolan_core::Outbound;
use portolan_wire::{
    envelope,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use super::{
    http::{HttpUpstream, TakenUp},
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
    http: Arc<HttpUpstream>,
    open: Arc<Open>,
    credential: Arc<Outbound>,
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
        credential: Arc<Outbound>,
        id: RequestId,
        hanging_up: HangingUp,
    ) -> Self {
        Self {
            told: Some(Told {
                _session: session,
                http,
                open,
                credential,
                id,
            }),
            hanging_up,
        }
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
        self.told = None;
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
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (http, open, credential) = (self.http.clone(), self.open.clone(), self.credential.clone());
        let telling = async move { http.tell(&open, &credential, text).await };
        // The session waits for this before it ends, and so does the gateway.
        let telling = self.http.tasks().track_future(telling);
        self.open.telling.spawn_on(telling, &runtime);
    }
}
