//! Calls of modern clients at legacy servers that this replica suspends until the client responds.
//!
//! A suspended call is still read: the server may send more requests, pings, or an error. It ends when its client
//! comes back, and is cancelled when the client is late or this replica shuts down.

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

/// The maximum number of bytes buffered for a suspended call. Beyond it, reading pauses until the client comes back.
const MAX_BUFFERED: usize = 256 * 1024;

/// A call that waits for its client's responses.
#[derive(Debug)]
pub(crate) struct SuspendedCall {
    pub(crate) events: Events,
    /// The open server requests, each with its key.
    pub(crate) server_requests: Vec<(String, ServerRequest)>,
    /// The events that arrived since, whole.
    pub(crate) frames: Vec<Bytes>,
    /// Whether the stream of the server has ended.
    pub(crate) ended: bool,
    /// The number of `input_required` results of this call so far.
    pub(crate) round: u64,
    /// The number of keys used so far.
    key_count: u64,
}

/// The suspended calls of this replica.
#[derive(Debug)]
pub(super) struct Suspended {
    calls: Mutex<HashMap<Handle, SuspendedEntry>>,
    limit: usize,
    caller_limit: usize,
    lifetime: Duration,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct SuspendedEntry {
    of: [u8; 16],
    take: oneshot::Sender<oneshot::Sender<SuspendedCall>>,
    reader: AbortOnDropHandle<()>,
}

impl From<Events> for SuspendedCall {
    fn from(events: Events) -> Self {
        Self {
            events,
            server_requests: Vec::new(),
            frames: Vec::new(),
            ended: false,
            round: 0,
            key_count: 0,
        }
    }
}

impl SuspendedCall {
    /// Adds a server request. Keys are never reused in a call.
    pub(crate) fn add(&mut self, server_request: ServerRequest) {
        self.key_count += 1;
        self.server_requests
            .push((format!("q{}", self.key_count), server_request));
        self.events.hold();
    }

    /// Continues the counts of a call that was resumed.
    pub(crate) fn after(mut self, round: u64, key_count: u64) -> Self {
        (self.round, self.key_count) = (round, key_count);
        self
    }

    pub(crate) fn key_count(&self) -> u64 {
        self.key_count
    }
}

impl Suspended {
    pub(super) fn new(config: &GatewayConfig, shutdown: CancellationToken) -> Self {
        Self {
            calls: Mutex::default(),
            limit: config.limits.suspended,
            caller_limit: config.limits.suspended_per_caller,
            lifetime: config.timeouts.server_request,
            shutdown,
        }
    }

    /// Suspends a call of the caller `of`. Returns it if too many are suspended, or this replica shuts down.
    pub(super) fn suspend(
        self: &Arc<Self>,
        of: [u8; 16],
        suspended: SuspendedCall,
    ) -> Result<Handle, Box<SuspendedCall>> {
        let mut calls = self.lock();
        let of_caller = calls.values().filter(|entry| entry.of == of).count();
        if calls.len() >= self.limit || of_caller >= self.caller_limit || self.shutdown.is_cancelled() {
            return Err(Box::new(suspended));
        }
        let handle = random_handle();
        let (take, take_request) = oneshot::channel();
        let until = (self.lifetime, self.shutdown.clone());
        let reader = read(suspended, take_request, until, Arc::downgrade(self), handle);
        let reader = AbortOnDropHandle::new(tokio::spawn(reader));
        calls.insert(handle, SuspendedEntry { of, take, reader });
        Ok(handle)
    }

    /// Takes a call out, once.
    pub(super) async fn take(&self, handle: &Handle) -> Option<SuspendedCall> {
        let SuspendedEntry { take, reader, .. } = self.remove(handle)?;
        let (reply, suspended) = oneshot::channel();
        take.send(reply).ok()?;
        let suspended = suspended.await.ok();
        drop(reader);
        suspended
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn remove(&self, handle: &Handle) -> Option<SuspendedEntry> {
        let mut calls = self.lock();
        let removed = calls.remove(handle);
        if calls.capacity() > 4 * calls.len() + 256 {
            calls.shrink_to_fit();
        }
        removed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, SuspendedEntry>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a suspended call until it is taken out. Dropping this future cancels the call.
async fn read(
    mut suspended: SuspendedCall,
    mut take_request: oneshot::Receiver<oneshot::Sender<SuspendedCall>>,
    (lifetime, shutdown): (Duration, CancellationToken),
    registry: Weak<Suspended>,
    handle: Handle,
) {
    let mut end = std::pin::pin!(tokio::time::sleep(lifetime));
    let mut buffered = 0;
    loop {
        tokio::select! {
            biased;
            reply = &mut take_request => {
                if let Ok(reply) = reply {
                    let _ = reply.send(suspended);
                }
                return;
            }
            () = &mut end => {
                tracing::info!("a suspended call is cancelled: its client did not respond in time");
                break;
            }
            () = shutdown.cancelled() => {
                tracing::info!("a suspended call is cancelled: this replica shuts down");
                break;
            }
            step = suspended.events.step(), if !suspended.ended && buffered < MAX_BUFFERED && suspended.server_requests.len() < MAX_SERVER_REQUESTS => match step {
                Some(Ok(Step::Frame(chunk))) => {
                    buffered += chunk.len();
                    suspended.frames.push(chunk);
                }
                Some(Ok(Step::ServerRequest(server_request))) => suspended.add(server_request),
                Some(Ok(Step::InputRequired(_) | Step::Task(_)) | Err(_)) | None => suspended.ended = true,
            },
        }
    }
    drop(suspended);
    if let Some(registry) = registry.upgrade() {
        registry.remove(&handle);
    }
}
