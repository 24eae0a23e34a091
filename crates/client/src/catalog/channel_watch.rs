//! What a channel has said while nobody listened, looked at when a list is asked for: no task waits for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::FutureExt;
use portolan_core::{Channel, ChannelNotification};
use portolan_wire::method::Method;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::ServerLists;
use crate::{
    connection::Route,
    server_notifications::{ListKind, ServerNotification},
};

/// The channel that the lists came from; empty until the first list is asked for.
#[derive(Debug, Default)]
pub(super) struct ChannelWatch(Mutex<Option<WatchedChannel>>);

#[derive(Debug)]
struct WatchedChannel {
    channel: Weak<dyn Channel>,
    heard: Receiver<ChannelNotification>,
    /// The number of the server's start, if it has started.
    generation: Option<u64>,
}

/// What is known since the last look.
#[derive(Default)]
struct SinceLook {
    changed: Vec<ListKind>,
    /// All lists may be others: notifications were missed, or this is another channel.
    in_doubt: bool,
    /// This is another run of the server.
    restarted: bool,
}

impl ServerLists {
    /// Marks the lists as stale that a server behind a channel has announced to be, and all of them after a restart.
    pub(super) async fn look_at_channel(&self) {
        if self.connection.is_at_fixed_url() {
            return;
        }
        let Ok(Route::Channel(channel)) = self.connection.route(false).await else {
            return;
        };
        // A server that is starting is waited for when its list is fetched.
        let handshake = channel.handshake().now_or_never();
        let generation = handshake.and_then(Result::ok).map(|handshake| handshake.generation);
        let since = self.channel.look(&channel, generation);
        since.changed.into_iter().for_each(|list| self.mark_stale(list));
        if since.in_doubt || since.restarted {
            self.doubt(since.restarted);
        }
    }
}

impl ChannelWatch {
    fn look(&self, channel: &Arc<dyn Channel>, generation: Option<u64>) -> SinceLook {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |known: &&mut WatchedChannel| known.channel.ptr_eq(&Arc::downgrade(channel));
        if let Some(known) = watched.as_mut().filter(is_known) {
            return known.look(generation);
        }
        let new = WatchedChannel {
            channel: Arc::downgrade(channel),
            heard: channel.notifications(),
            generation,
        };
        SinceLook {
            in_doubt: watched.replace(new).is_some(),
            ..SinceLook::default()
        }
    }
}

impl WatchedChannel {
    fn look(&mut self, generation: Option<u64>) -> SinceLook {
        let mut since = SinceLook::default();
        loop {
            match self.heard.try_recv() {
                Ok(notification) => {
                    let method = Method::parse(&notification.method);
                    if let Some(ServerNotification::List(list)) = ServerNotification::of(&method, None) {
                        since.changed.push(list);
                    }
                }
                Err(TryRecvError::Lagged(_)) => since.in_doubt = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if let Some(generation) = generation {
            let before = self.generation.replace(generation);
            since.restarted |= before.is_some_and(|before| before != generation);
        }
        since
    }
}
