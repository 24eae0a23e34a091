//! What a legacy server says to one client alone, outside of its calls: on the GET stream of the session that belongs to
//! the client's own.
//!
//! It is opened once the client has a stream and the session upstream is open. Some SDKs send there what they log, and
//! how far they are, in the middle of a call. What is said to everybody, the hub hears.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering};

use portolan_core::Outbound;
use portolan_wire::{
    envelope::{self, Message, Notification},
    method::Method,
};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::Outbox;
use crate::upstream::{Change, GetStream, Heard, HttpUpstream, Open, Sink, answer};

/// The streams of one session at its servers. They end with it.
#[derive(Debug, Default)]
pub(crate) struct Asides(Mutex<Vec<(Arc<Open>, AbortOnDropHandle<()>)>>);

impl Asides {
    /// Follows what a server says in `open`, unless that is done already. Does nothing where nobody reads.
    pub(crate) fn follow(
        &self,
        http: &Arc<HttpUpstream>,
        open: &Arc<Open>,
        credential: &Arc<Outbound>,
        outbox: &Arc<Outbox>,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        if open.id.is_none() || !outbox.has_reader() || open.followed.swap(true, Ordering::AcqRel) {
            return;
        }
        let following = follow(http.clone(), open.clone(), credential.clone(), outbox.clone());
        let ended = http.ended().clone();
        let following = runtime.spawn(async move {
            tokio::select! {
                () = following => {}
                () = ended.cancelled() => {}
            }
        });
        let mut asides = self.lock();
        asides.retain(|(_, following)| !following.is_finished());
        asides.push((open.clone(), AbortOnDropHandle::new(following)));
    }

    /// Follows nothing any more.
    pub(crate) fn clear(&self) {
        for (open, _) in self.lock().drain(..) {
            open.followed.store(false, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<Open>, AbortOnDropHandle<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(http: Arc<HttpUpstream>, open: Arc<Open>, credential: Arc<Outbound>, outbox: Arc<Outbox>) {
    let mut stream = GetStream::new(&http, &open, &credential);
    loop {
        match stream.next().await {
            Heard::Opened { .. } => {}
            Heard::Message(Message::Notification(notification)) => tell(&outbox, &notification),
            Heard::Message(Message::Request(request)) => answer(&http, &open, &credential, &request),
            Heard::Message(Message::Response(_)) => {}
            Heard::Mute | Heard::Expired => return,
        }
    }
}

fn tell(outbox: &Outbox, notification: &Notification) {
    match Change::read(notification) {
        Some(change @ (Change::Log { .. } | Change::ElicitationComplete(_))) => outbox.tell(&change),
        None if notification.method == Method::Progress => {
            outbox.message(envelope::notification(
                &Method::Progress,
                notification.params.as_deref(),
            ));
        }
        _ => {}
    }
}
