//! A stdio server with a process for each conversation, for servers that hold its state.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use portolan_core::{
    CallHandle, Channel, ChannelNotification, ChannelRequest, Error, Exchange, Result, RpcResponse, ServerHandshake,
};
use tokio::{runtime::Handle, sync::broadcast, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    StdioServer,
    channel::{CancelOnDrop, stopped},
};

/// Starts another process of the server.
pub(crate) type ProcessStarter = Box<dyn Fn() -> Arc<StdioServer> + Send + Sync>;

/// How often unused conversations are looked for, within the time after which they end.
const CHECKS_PER_IDLE: u32 = 8;

/// A [`Channel`] that isolates conversations.
///
/// The first call of a conversation starts its process, which ends with the conversation or after being unused for
/// `idle`. Requests outside of conversations go to `common`: lists, the handshake, notifications to all.
///
/// A process that ends by itself is restarted like any server; the state that it held for its conversation is lost.
pub(crate) struct PerSession {
    common: Arc<StdioServer>,
    pool: Arc<ProcessPool>,
    start: ProcessStarter,
    max: usize,
    _reaper: AbortOnDropHandle<()>,
}

/// The processes of conversations.
#[derive(Default)]
struct ProcessPool(Mutex<PoolState>);

#[derive(Default)]
struct PoolState {
    by_conversation: HashMap<Arc<str>, PooledProcess>,
    /// The processes that are being stopped in order.
    ending: Vec<Weak<StdioServer>>,
    /// Set when no conversation may begin any more.
    closed: bool,
}

/// One conversation's process.
struct PooledProcess {
    server: Arc<StdioServer>,
    calls: usize,
    /// When a call last began or ended.
    used: Instant,
}

/// Counts a call as under way in its conversation until it is dropped.
struct CallGuard {
    pool: Weak<ProcessPool>,
    conversation: Arc<str>,
    server: Arc<StdioServer>,
}

/// The handle that an exchange holds: the call, counted in its conversation.
struct GuardedCall {
    call: CancelOnDrop,
    _guard: CallGuard,
}

impl PerSession {
    /// Returns a channel for at most `max` conversations at once beside `common`, each ended after being unused for `idle`.
    pub(crate) fn new(common: Arc<StdioServer>, start: ProcessStarter, max: u16, idle: Duration) -> Self {
        let pool = Arc::<ProcessPool>::default();
        let reaper = tokio::spawn(reap(Arc::downgrade(&pool), idle));
        Self {
            common,
            pool,
            start,
            max: max.into(),
            _reaper: AbortOnDropHandle::new(reaper),
        }
    }

    /// Stops the processes of all conversations, after calls under way had `drain` to finish. Conversations that go on
    /// start new ones.
    pub(crate) fn restart(&self, drain: Duration) {
        self.end_all(drain, None);
    }

    /// Stops the processes of all conversations likewise, by `deadline`, and begins no conversation any more.
    pub(crate) fn stop_by(&self, drain: Duration, deadline: Option<Instant>) {
        self.pool.lock().closed = true;
        self.end_all(drain, deadline);
    }

    fn end_all(&self, drain: Duration, deadline: Option<Instant>) {
        let all: Vec<_> = self.pool.lock().by_conversation.drain().collect();
        all.into_iter()
            .for_each(|(_, process)| self.pool.end_by(process, drain, deadline));
    }

    /// Kills all of them.
    pub(crate) fn kill(&self) {
        let mut state = self.pool.lock();
        state.closed = true;
        for (_, process) in state.by_conversation.drain() {
            process.server.supervisor.kill();
        }
        for server in state.ending.drain(..).filter_map(|server| server.upgrade()) {
            server.supervisor.kill();
        }
    }

    /// Returns every process beside `common`, also those that are being stopped.
    pub(crate) fn servers(&self) -> Vec<Arc<StdioServer>> {
        let state = self.pool.lock();
        let running = state.by_conversation.values().map(|process| process.server.clone());
        running.chain(state.ending.iter().filter_map(Weak::upgrade)).collect()
    }

    /// Waits until the processes that are being stopped are gone.
    pub(crate) async fn stopped(&self) {
        while self.pool.lock().ending.iter().any(|server| server.strong_count() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the process of a conversation, started if there is none.
    fn enter(&self, conversation: &Arc<str>) -> Result<CallGuard> {
        let mut state = self.pool.lock();
        if state.closed {
            return Err(self.common.supervisor.shared.channel.not_ready(stopped()));
        }
        if !state.by_conversation.contains_key(conversation) && state.by_conversation.len() >= self.max {
            return Err(Error::Exhausted {
                what: "conversations at once",
                limit: self.max,
            });
        }
        let process = state.by_conversation.entry(conversation.clone());
        let process = process.or_insert_with(|| PooledProcess {
            server: (self.start)(),
            calls: 0,
            used: Instant::now(),
        });
        process.calls += 1;
        process.used = Instant::now();
        Ok(CallGuard {
            pool: Arc::downgrade(&self.pool),
            conversation: conversation.clone(),
            server: process.server.clone(),
        })
    }
}

#[async_trait]
impl Channel for PerSession {
    async fn handshake(&self) -> Result<ServerHandshake> {
        self.common.handshake().await
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let Some(conversation) = &request.conversation else {
            return self.common.call(request).await;
        };
        let guard = self.enter(conversation)?;
        let dispatched = guard.server.supervisor.shared.channel.dispatch(&request).await?;
        let guarded = GuardedCall {
            call: dispatched.handle.cancelled_on_drop(),
            _guard: guard,
        };
        Ok(Exchange::new(dispatched.events, guarded))
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.common.notifications()
    }

    fn isolates_conversations(&self) -> bool {
        true
    }

    fn end(&self, conversation: &str) {
        let process = self.pool.lock().by_conversation.remove(conversation);
        if let Some(process) = process {
            self.pool.end(process, Duration::ZERO);
        }
    }
}

/// Stops the processes of unused conversations, from time to time.
async fn reap(pool: Weak<ProcessPool>, idle: Duration) {
    let pause = (idle / CHECKS_PER_IDLE).max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        let unused = |_: &Arc<str>, process: &mut PooledProcess| process.calls == 0 && process.used.elapsed() >= idle;
        let idle_processes: Vec<_> = pool.lock().by_conversation.extract_if(unused).collect();
        idle_processes
            .into_iter()
            .for_each(|(_, process)| pool.end(process, Duration::ZERO));
    }
}

impl ProcessPool {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a process in order, in the background; outside of a runtime, kills it by dropping it.
    fn end(&self, process: PooledProcess, drain: Duration) {
        self.end_by(process, drain, None);
    }

    /// Stops it likewise, by `deadline`.
    fn end_by(&self, process: PooledProcess, drain: Duration, deadline: Option<Instant>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.lock();
        state.ending.retain(|server| server.strong_count() > 0);
        state.ending.push(Arc::downgrade(&process.server));
        runtime.spawn(async move { process.server.supervisor.stop_by(drain, deadline).await });
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        // The conversation may have another process by now.
        if let Some(process) = pool.lock().by_conversation.get_mut(&self.conversation)
            && Arc::ptr_eq(&process.server, &self.server)
        {
            process.calls -= 1;
            process.used = Instant::now();
        }
    }
}

impl CallHandle for GuardedCall {
    fn respond(&self, key: u64, answer: RpcResponse) {
        self.call.respond(key, answer);
    }
}

impl fmt::Debug for PerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerSession")
            .field("common", &self.common)
            .field("conversations", &self.pool.lock().by_conversation.len())
            .field("most", &self.max)
            .finish_non_exhaustive()
    }
}
