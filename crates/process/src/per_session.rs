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
    mailbox::{Cancelling, stopped},
};

/// Starts one more process of the server.
pub(crate) type Start = Box<dyn Fn() -> Arc<StdioServer> + Send + Sync>;

/// How often it is looked for conversations that are unused, in the time after which they are.
const LOOKS: u32 = 8;

/// A [`Channel`] that keeps conversations apart.
///
/// A process is started by the first call of a conversation and ended with it, or when it was unused for `idle`. What
/// belongs to no conversation goes to `common`: lists, how the server introduces itself, what it says to everybody.
///
/// A process that ends by itself is started again like any server; what it knew of its conversation is lost.
pub(crate) struct PerSession {
    common: Arc<StdioServer>,
    rooms: Arc<Rooms>,
    start: Start,
    most: usize,
    _reaper: AbortOnDropHandle<()>,
}

/// The processes of conversations.
#[derive(Default)]
struct Rooms(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    by_conversation: HashMap<Arc<str>, Room>,
    /// Those that are being ended in order.
    ending: Vec<Weak<StdioServer>>,
    /// No conversation may begin any more.
    closed: bool,
}

/// One conversation's process.
struct Room {
    server: Arc<StdioServer>,
    calls: usize,
    /// When a call began or ended last.
    used: Instant,
}

/// A call that is under way in a conversation.
struct Stay {
    rooms: Weak<Rooms>,
    conversation: Arc<str>,
    server: Arc<StdioServer>,
}

/// The same, as its exchange holds it.
struct Staying {
    call: Cancelling,
    _stay: Stay,
}

impl PerSession {
    /// Conversations beside `common`, at most `most` at once, each ended when it was unused for `idle`.
    pub(crate) fn new(common: Arc<StdioServer>, start: Start, most: u16, idle: Duration) -> Self {
        let rooms = Arc::<Rooms>::default();
        let reaper = tokio::spawn(reap(Arc::downgrade(&rooms), idle));
        Self {
            common,
            rooms,
            start,
            most: most.into(),
            _reaper: AbortOnDropHandle::new(reaper),
        }
    }

    /// Ends the processes of all conversations, after calls under way had `drain` to finish. Those who go on get new ones.
    pub(crate) fn restart(&self, drain: Duration) {
        let all: Vec<_> = self.rooms.lock().by_conversation.drain().collect();
        all.into_iter().for_each(|(_, room)| self.rooms.end(room, drain));
    }

    /// The same, and no conversation begins any more.
    pub(crate) fn stop(&self, drain: Duration) {
        self.rooms.lock().closed = true;
        self.restart(drain);
    }

    /// Ends all of them at once.
    pub(crate) fn kill(&self) {
        let mut taken = self.rooms.lock();
        taken.closed = true;
        for (_, room) in taken.by_conversation.drain() {
            room.server.supervisor.kill();
        }
        for server in taken.ending.drain(..).filter_map(|server| server.upgrade()) {
            server.supervisor.kill();
        }
    }

    /// Every process beside `common`, also those that are being ended.
    pub(crate) fn servers(&self) -> Vec<Arc<StdioServer>> {
        let taken = self.rooms.lock();
        let rooms = taken.by_conversation.values().map(|room| room.server.clone());
        rooms.chain(taken.ending.iter().filter_map(Weak::upgrade)).collect()
    }

    /// Waits until the processes that are being ended are gone.
    pub(crate) async fn ended(&self) {
        while self.rooms.lock().ending.iter().any(|server| server.strong_count() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The process of a conversation, started if there is none.
    fn enter(&self, conversation: &Arc<str>) -> Result<Stay> {
        let mut taken = self.rooms.lock();
        if taken.closed {
            return Err(self.common.supervisor.shared.front.not_ready(stopped()));
        }
        if !taken.by_conversation.contains_key(conversation) && taken.by_conversation.len() >= self.most {
            return Err(Error::Exhausted {
                what: "conversations at once",
                limit: self.most,
            });
        }
        let room = taken.by_conversation.entry(conversation.clone());
        let room = room.or_insert_with(|| Room {
            server: (self.start)(),
            calls: 0,
            used: Instant::now(),
        });
        room.calls += 1;
        room.used = Instant::now();
        Ok(Stay {
            rooms: Arc::downgrade(&self.rooms),
            conversation: conversation.clone(),
            server: room.server.clone(),
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
        let stay = self.enter(conversation)?;
        let placed = stay.server.supervisor.shared.front.place(&request).await?;
        let staying = Staying {
            call: placed.handle.cancelled_on_drop(),
            _stay: stay,
        };
        Ok(Exchange::new(placed.events, staying))
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.common.notifications()
    }

    fn isolates_conversations(&self) -> bool {
        true
    }

    fn end(&self, conversation: &str) {
        let room = self.rooms.lock().by_conversation.remove(conversation);
        if let Some(room) = room {
            self.rooms.end(room, Duration::ZERO);
        }
    }
}

/// Ends the processes of conversations that are unused.
async fn reap(rooms: Weak<Rooms>, idle: Duration) {
    let pause = (idle / LOOKS).max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(pause).await;
        let Some(rooms) = rooms.upgrade() else { return };
        let unused = |_: &Arc<str>, room: &mut Room| room.calls == 0 && room.used.elapsed() >= idle;
        let gone: Vec<_> = rooms.lock().by_conversation.extract_if(unused).collect();
        gone.into_iter().for_each(|(_, room)| rooms.end(room, Duration::ZERO));
    }
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a process in order, in the background; outside of a runtime, at once.
    fn end(&self, room: Room, drain: Duration) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut taken = self.lock();
        taken.ending.retain(|server| server.strong_count() > 0);
        taken.ending.push(Arc::downgrade(&room.server));
        runtime.spawn(async move { room.server.stop(drain).await });
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let Some(rooms) = self.rooms.upgrade() else { return };
        // The conversation may have another process by now.
        if let Some(room) = rooms.lock().by_conversation.get_mut(&self.conversation)
            && Arc::ptr_eq(&room.server, &self.server)
        {
            room.calls -= 1;
            room.used = Instant::now();
        }
    }
}

impl CallHandle for Staying {
    fn respond(&self, key: u64, answer: RpcResponse) {
        self.call.respond(key, answer);
    }
}

impl fmt::Debug for PerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerSession")
            .field("common", &self.common)
            .field("conversations", &self.rooms.lock().by_conversation.len())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
