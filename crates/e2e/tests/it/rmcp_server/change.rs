//! Changes, and the notifications about them.
#![expect(deprecated, reason = "what is deprecated is still to be relayed")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{LoggingLevel, ResourceUpdatedNotificationParam};
use rmcp::service::{Peer, SubscriptionContext};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// `tools`, `prompts`, `resources`, or the URI of a resource.
type Change = &'static str;

/// What all conversations share.
#[derive(Debug)]
pub(super) struct World {
    /// Of which lists there is one entry more.
    longer: Mutex<BTreeSet<Change>>,
    changes: Sender<Change>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            longer: Mutex::default(),
            changes: broadcast::channel(64).0,
        }
    }
}

impl World {
    pub(super) fn has_more(&self, list: &str) -> bool {
        lock(&self.longer).contains(list)
    }

    pub(super) fn change(&self, what: Change) {
        let mut longer = lock(&self.longer);
        if !longer.remove(what) {
            longer.insert(what);
        }
        drop(longer);
        let _ = self.changes.send(what);
    }

    pub(super) fn changes(&self) -> Receiver<Change> {
        self.changes.subscribe()
    }
}

/// What a legacy session wants to be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(Arc<Mutex<Wishes>>);

#[derive(Debug, Default)]
struct Wishes {
    uris: BTreeSet<String>,
    level: Option<LoggingLevel>,
}

impl Told {
    pub(super) fn subscribe(&self, uri: String) {
        lock(&self.0).uris.insert(uri);
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        lock(&self.0).uris.remove(uri);
    }

    pub(super) fn set_level(&self, level: LoggingLevel) {
        lock(&self.0).level = Some(level);
    }

    pub(super) fn level(&self) -> Option<LoggingLevel> {
        lock(&self.0).level
    }
}

/// Tells a legacy session of changes, until it is gone.
pub(super) async fn tell_session(mut changes: Receiver<Change>, told: Told, peer: Peer<RoleServer>) {
    while let Ok(what) = changes.recv().await {
        let sent = match what {
            "tools" => peer.notify_tool_list_changed().await,
            "prompts" => peer.notify_prompt_list_changed().await,
            "resources" => peer.notify_resource_list_changed().await,
            uri if lock(&told.0).uris.contains(uri) => {
                peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri))
                    .await
            }
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Tells a listener of changes, until it goes away. The sink leaves out what it did not ask for.
pub(super) async fn tell_listener(mut changes: Receiver<Change>, context: &SubscriptionContext) {
    let sink = context.sink();
    let tell = async {
        while let Ok(what) = changes.recv().await {
            let _ = match what {
                "tools" => sink.notify_tool_list_changed().await,
                "prompts" => sink.notify_prompt_list_changed().await,
                "resources" => sink.notify_resource_list_changed().await,
                uri => sink.notify_resource_updated(uri).await,
            };
        }
    };
    tokio::select! {
        () = tell => {}
        () = context.cancelled() => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
