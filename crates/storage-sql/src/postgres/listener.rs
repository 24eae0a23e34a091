//! LISTEN on a connection of its own: a hint that there is something new, nothing more. The readers look in the tables, and
//! look there by the clock as well, because a hint can be lost.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::watch, task::JoinHandle};

use crate::rows::News;

/// The longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);
/// After so many hints that did not come the connection is given up.
const MISSED: u32 = 3;
/// After so many failures in a row the connection is given up.
const FAILURES: u32 = 5;

/// Hears of news, from the first time that somebody asks for them.
pub(super) struct Listener {
    options: PgConnectOptions,
    channel: String,
    hints: Arc<Hints>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Wakes the readers.
struct Hints {
    changes: watch::Sender<()>,
    messages: watch::Sender<()>,
    /// How often in a row something new was found of which no hint came.
    missed: AtomicU32,
}

impl Hints {
    fn all(&self) {
        self.changes.send_replace(());
        self.messages.send_replace(());
    }
}

impl Listener {
    /// Listens on `channel` over connections of `options`, which must lead to the server itself.
    pub(super) fn new(options: PgConnectOptions, channel: String) -> Self {
        Self {
            options,
            channel,
            hints: Arc::new(Hints {
                changes: watch::Sender::new(()),
                messages: watch::Sender::new(()),
                missed: AtomicU32::new(0),
            }),
            task: Mutex::new(None),
        }
    }

    /// Returns a receiver that is signalled when there may be news, and starts to listen if nobody does.
    pub(super) fn hear(&self, about: News) -> watch::Receiver<()> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // A task ends with its runtime, and a host may have several.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let listening = listen(self.options.clone(), self.channel.clone(), Arc::clone(&self.hints));
            *task = Some(tokio::spawn(listening));
        }
        match about {
            News::Changes => self.hints.changes.subscribe(),
            News::Messages => self.hints.messages.subscribe(),
        }
    }

    /// Says that something new was found of which no hint came. After a few of these the connection is given up for another:
    /// one whose peer vanished without a word stays silent for ever.
    pub(super) fn missed(&self) {
        let missed = self.hints.missed.fetch_add(1, Ordering::Relaxed) + 1;
        if missed < MISSED {
            return;
        }
        self.hints.missed.store(0, Ordering::Relaxed);
        tracing::debug!(channel = self.channel, "no hints come; listening on another connection");
        self.stop();
        self.hear(News::Changes);
    }

    /// Gives up the connection. The next one who wants to hear gets another.
    pub(super) fn stop(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Listener {
    /// Leaves the options out, whose `Debug` shows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// Passes hints on until it is aborted.
async fn listen(options: PgConnectOptions, channel: String, hints: Arc<Hints>) {
    loop {
        if let Err(error) = listen_once(options.clone(), &channel, &hints).await {
            tracing::debug!(channel, %error, "no connection to listen on; looking by the clock");
        }
        hints.all();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Passes hints on until the connection cannot be had any more.
///
/// No timeout and no `select!` around `try_recv`: dropped while it connects again, it would not say that it was away.
async fn listen_once(options: PgConnectOptions, channel: &str, hints: &Hints) -> sqlx::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(channel).await?;
    hints.all();
    let mut failures = 0;
    loop {
        match listener.try_recv().await {
            Ok(Some(notification)) => {
                failures = 0;
                hints.missed.store(0, Ordering::Relaxed);
                match notification.payload() {
                    "change" => hints.changes.send_replace(()),
                    "message" => hints.messages.send_replace(()),
                    // Of a newer release, about something that this one does not have.
                    _ => {}
                }
            }
            // The connection was away, and with it whatever was said meanwhile.
            Ok(None) => hints.all(),
            Err(error) => {
                failures += 1;
                if failures >= FAILURES {
                    return Err(error);
                }
                hints.all();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
