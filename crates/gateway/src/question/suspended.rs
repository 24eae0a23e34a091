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
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{random_handle, token::Handle};
use crate::{
    config::GatewayConfig,
    upstream::{Events, MOST, Question, Step},
};

/// Bytes of what a server says while its call is kept. Past it, it is not listened to until the client comes back.
const HEARD: usize = 256 * 1024;

/// A call that waits for its client.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) events: Events,
    /// What the client was asked, or is to be asked, each under its key.
    pub(super) questions: Vec<(String, Question)>,
    /// What the server has said since, as whole events.
    pub(super) heard: Vec<Bytes>,
    /// Whether the server has said its last.
    pub(super) over: bool,
    /// How often the client was asked in this call.
    pub(super) round: u64,
    /// How many questions there were.
    named: u64,
}

/// Those that are kept.
#[derive(Debug)]
pub(super) struct Suspended {
    kept: Mutex<HashMap<Handle, Kept>>,
    most: usize,
    most_of_one: usize,
    good_for: Duration,
    ending: CancellationToken,
}

#[derive(Debug)]
struct Kept {
    of: [u8; 16],
    take: oneshot::Sender<oneshot::Sender<Parked>>,
    keeper: AbortOnDropHandle<()>,
}

impl From<Events> for Parked {
    fn from(events: Events) -> Self {
        Self {
            events,
            questions: Vec::new(),
            heard: Vec::new(),
            over: false,
            round: 0,
            named: 0,
        }
    }
}

impl Parked {
    /// Notes a question. Keys are never used twice in a call.
    pub(super) fn put(&mut self, question: Question) {
        self.named += 1;
        self.questions.push((format!("q{}", self.named), question));
        self.events.hold();
    }

    /// The same, after `named` questions in `round` rounds.
    pub(super) fn after(mut self, round: u64, named: u64) -> Self {
        (self.round, self.named) = (round, named);
        self
    }

    pub(super) fn named(&self) -> u64 {
        self.named
    }
}

impl Suspended {
    pub(super) fn new(config: &GatewayConfig, ending: CancellationToken) -> Self {
        Self {
            kept: Mutex::default(),
            most: config.limits.suspended,
            most_of_one: config.limits.suspended_per_caller,
            good_for: config.timeouts.question,
            ending,
        }
    }

    /// Keeps a call of the caller `of`. Gives it back when too many are kept, or this replica is about to end.
    pub(super) fn keep(self: &Arc<Self>, of: [u8; 16], parked: Parked) -> Result<Handle, Box<Parked>> {
        let mut kept = self.lock();
        let his = kept.values().filter(|kept| kept.of == of).count();
        if kept.len() >= self.most || his >= self.most_of_one || self.ending.is_cancelled() {
            return Err(Box::new(parked));
        }
        let handle = random_handle();
        let (take, taken) = oneshot::channel();
        let until = (self.good_for, self.ending.clone());
        let keeper = keep(parked, taken, until, Arc::downgrade(self), handle);
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper));
        kept.insert(handle, Kept { of, take, keeper });
        Ok(handle)
    }

    /// Takes a call back, once.
    pub(super) async fn take(&self, handle: &Handle) -> Option<Parked> {
        let Kept { take, keeper, .. } = self.forget(handle)?;
        let (back, parked) = oneshot::channel();
        take.send(back).ok()?;
        let parked = parked.await.ok();
        drop(keeper);
        parked
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn forget(&self, handle: &Handle) -> Option<Kept> {
        let mut kept = self.lock();
        let forgotten = kept.remove(handle);
        if kept.capacity() > 4 * kept.len() + 256 {
            kept.shrink_to_fit();
        }
        forgotten
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to a kept call until it is taken back. Dropped, the call is cancelled.
async fn keep(
    mut parked: Parked,
    mut taken: oneshot::Receiver<oneshot::Sender<Parked>>,
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
                    let _ = back.send(parked);
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
            step = parked.events.step(), if !parked.over && heard < HEARD && parked.questions.len() < MOST => match step {
                Some(Ok(Step::Frame(piece))) => {
                    heard += piece.len();
                    parked.heard.push(piece);
                }
                Some(Ok(Step::Question(question))) => parked.put(question),
                Some(Ok(Step::Asks(_) | Step::Task(_)) | Err(_)) | None => parked.over = true,
            },
        }
    }
    drop(parked);
    if let Some(among) = among.upgrade() {
        among.forget(&handle);
    }
}
