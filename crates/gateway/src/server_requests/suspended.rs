//! Calls of modern clients at legacy servers that are kept in this replica while their clients are asked.
//!
//! A kept call is still listened to: the server may ask more, want to know whether anybody is there, or give up. It ends
//! when its client comes back, and is cancelled when it does not come back in time, or when this replica ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use portolan_client::{Events, MAX_SERVER_REQUESTS, ServerRequest, Step};
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    config::GatewayConfig,
    replicas::{Handle, random_handle},
};

/// Bytes of what a server says while its call is kept. Past it, it is not listened to until the client comes back.
const HEARD: usize = 256 * 1024;

/// A call that waits for its client.
#[derive(Debug)]
pub(crate) struct SuspendedCall {
    pub(crate) events: Events,
    /// What the client was asked, or is to be asked, each under its key.
    pub(crate) server_requests: Vec<(String, ServerRequest)>,
    /// What the server has said since, as whole events.
    pub(crate) heard: Vec<Bytes>,
    /// Whether the server has said its last.
    pub(crate) over: bool,
    /// How often the client was asked in this call.
    pub(crate) round: u64,
    /// How many questions there were.
    named: u64,
}

/// Those that are kept.
#[derive(Debug)]
pub(super) struct Suspended {
    kept: Mutex<HashMap<Handle, SuspendedEntry>>,
    most: usize,
    most_of_one: usize,
    good_for: Duration,
    ending: CancellationToken,
}

#[derive(Debug)]
struct SuspendedEntry {
    of: [u8; 16],
    take: oneshot::Sender<oneshot::Sender<SuspendedCall>>,
    keeper: AbortOnDropHandle<()>,
}

impl From<Events> for SuspendedCall {
    fn from(events: Events) -> Self {
        Self {
            events,
            server_requests: Vec::new(),
            heard: Vec::new(),
            over: false,
            round: 0,
            named: 0,
        }
    }
}

impl SuspendedCall {
    /// Notes a question. Keys are never used twice in a call.
    pub(crate) fn put(&mut self, server_request: ServerRequest) {
        self.named += 1;
        self.server_requests.push((format!("q{}", self.named), server_request));
        self.events.hold();
    }

    /// The same, after `named` questions in `round` rounds.
    pub(crate) fn after(mut self, round: u64, named: u64) -> Self {
        (self.round, self.named) = (round, named);
        self
    }

    pub(crate) fn named(&self) -> u64 {
        self.named
    }
}

impl Suspended {
    pub(super) fn new(config: &GatewayConfig, ending: CancellationToken) -> Self {
        Self {
            kept: Mutex::default(),
            most: config.limits.suspended,
            most_of_one: config.limits.suspended_per_caller,
            good_for: config.timeouts.server_request,
            ending,
        }
    }

    /// Keeps a call of the caller `of`. Gives it back when too many are kept, or this replica is about to end.
    pub(super) fn keep(self: &Arc<Self>, of: [u8; 16], suspended: SuspendedCall) -> Result<Handle, Box<SuspendedCall>> {
        let mut kept = self.lock();
        let his = kept.values().filter(|kept| kept.of == of).count();
        if kept.len() >= self.most || his >= self.most_of_one || self.ending.is_cancelled() {
            return Err(Box::new(suspended));
        }
        let handle = random_handle();
        let (take, taken) = oneshot::channel();
        let until = (self.good_for, self.ending.clone());
        let keeper = keep(suspended, taken, until, Arc::downgrade(self), handle);
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper));
        kept.insert(handle, SuspendedEntry { of, take, keeper });
        Ok(handle)
    }

    /// Takes a call back, once.
    pub(super) async fn take(&self, handle: &Handle) -> Option<SuspendedCall> {
        let SuspendedEntry { take, keeper, .. } = self.forget(handle)?;
        let (back, suspended) = oneshot::channel();
        take.send(back).ok()?;
        let suspended = suspended.await.ok();
        drop(keeper);
        suspended
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn forget(&self, handle: &Handle) -> Option<SuspendedEntry> {
        let mut kept = self.lock();
        let forgotten = kept.remove(handle);
        if kept.capacity() > 4 * kept.len() + 256 {
            kept.shrink_to_fit();
        }
        forgotten
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, SuspendedEntry>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to a kept call until it is taken back. Dropped, the call is cancelled.
async fn keep(
    mut suspended: SuspendedCall,
    mut taken: oneshot::Receiver<oneshot::Sender<SuspendedCall>>,
    (good_for, ending): (Duration, CancellationToken),
    among: Weak<Suspended>,
    handle: Handle,
) {
    let mut end = std::pin::pin!(tokio::time::sleep(good_for));
    let mut heard = 0;
    loop {
        tokio::select! {
            biased;
            back = &mut taken => {
                if let Ok(back) = back {
                    let _ = back.send(suspended);
                }
                return;
            }
            () = &mut end => {
                tracing::info!("a call is cancelled, because its client did not come back with answers");
                break;
            }
            () = ending.cancelled() => {
                tracing::info!("a call that waits for its client is lost, because this replica ends");
                break;
            }
            step = suspended.events.step(), if !suspended.over && heard < HEARD && suspended.server_requests.len() < MAX_SERVER_REQUESTS => match step {
                Some(Ok(Step::Frame(piece))) => {
                    heard += piece.len();
                    suspended.heard.push(piece);
                }
                Some(Ok(Step::ServerRequest(server_request))) => suspended.put(server_request),
                Some(Ok(Step::InputRequired(_) | Step::Task(_)) | Err(_)) | None => suspended.over = true,
            },
        }
    }
    drop(suspended);
    if let Some(among) = among.upgrade() {
        among.forget(&handle);
    }
}
