//! Telling a legacy server that nobody waits for an answer any more.

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::Outbound;
use portolan_wire::{
    envelope,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use super::{http::HttpUpstream, session::Open};

/// A call at a legacy server that is not answered yet. Closing the connection does not cancel it there
/// (2025-11-25, basic/transports), so a notification has to be sent.
#[derive(Debug)]
pub(crate) struct Unanswered {
    told: Option<Told>,
    on_drop: bool,
}

#[derive(Debug)]
struct Told {
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
            on_drop: false,
        }
    }

    /// A call under `id` in the session `open`. With `on_drop`, dropping this before an answer cancels it.
    pub(crate) fn legacy(
        http: Arc<HttpUpstream>,
        open: Arc<Open>,
        credential: Arc<Outbound>,
        id: RequestId,
        on_drop: bool,
    ) -> Self {
        Self {
            told: Some(Told {
                http,
                open,
                credential,
                id,
            }),
            on_drop,
        }
    }

    /// Tells the server something in the session of the call.
    pub(crate) fn reply(&self, text: Bytes) {
        if let Some(told) = &self.told {
            told.tell(text);
        }
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
        if self.on_drop {
            self.cancel("the client has gone away");
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
        self.http.tasks().spawn_on(telling, &runtime);
    }
}
