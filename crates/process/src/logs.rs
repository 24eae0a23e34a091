//! The last lines that a server wrote to its log, and readers of them.

mod ring;
mod stream;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_core::{Clock, LogLine};
use tokio::sync::watch;

use self::ring::Ring;
pub(crate) use self::stream::read;
use crate::{ProcessLimits, redact::Redactor};

/// The log of one server: its error output and what is no message on its output, of the present run and the one before.
pub(crate) struct Logs {
    inner: Mutex<LogState>,
    /// The number of the newest line.
    newest: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    longest_line: usize,
    /// Where its lines are written, too.
    parent: Option<Arc<Self>>,
}

struct LogState {
    present: Ring,
    previous: Ring,
    redactor: Redactor,
    written: u64,
    /// The server is gone for good: readers who follow come to their end.
    closed: bool,
}

impl Logs {
    pub(crate) fn new(limits: &ProcessLimits, clock: Arc<dyn Clock>) -> Self {
        let ring = || Ring::new(limits.log_lines, limits.log_bytes);
        let inner = LogState {
            present: ring(),
            previous: ring(),
            redactor: Redactor::default(),
            written: 0,
            closed: false,
        };
        Self {
            inner: inner.into(),
            newest: watch::Sender::new(0),
            clock,
            longest_line: limits.log_line,
            parent: None,
        }
    }

    /// The log of one of several processes that users see as one server: what comes here comes to `all`, too.
    pub(crate) fn child_of(all: Arc<Self>, limits: &ProcessLimits) -> Self {
        Self {
            parent: Some(all.clone()),
            ..Self::new(limits, all.clock.clone())
        }
    }

    /// A new run begins: what was the present run is the previous one.
    pub(crate) fn begin_run(&self, redactor: Redactor) {
        let mut inner = self.lock();
        let LogState { present, previous, .. } = &mut *inner;
        std::mem::swap(present, previous);
        present.clear();
        inner.redactor = redactor;
    }

    /// Adds lines, all read at the same time. Bytes that are no UTF-8 are replaced, long lines cut.
    pub(crate) fn push<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) {
        let at = self.clock.now();
        let written = {
            let mut inner = self.lock();
            for line in lines {
                let line = &line[..line.len().min(2 * self.longest_line)];
                let text = self.cut(inner.redactor.clean(String::from_utf8_lossy(line)));
                if let Some(all) = &self.parent {
                    all.push([text.as_bytes()]);
                }
                inner.written += 1;
                let number = inner.written;
                inner.present.push(number, LogLine { at, text });
            }
            if inner.closed {
                return;
            }
            inner.written
        };
        self.newest.send_replace(written);
    }

    /// Nothing more will come: readers who follow come to their end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.newest.send_replace(u64::MAX);
    }

    /// The last lines of the present run.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        self.lock().present.last(count)
    }

    fn cut(&self, text: Cow<'_, str>) -> String {
        if text.len() <= self.longest_line {
            return text.into_owned();
        }
        let end = text.floor_char_boundary(self.longest_line);
        format!("{}…", &text[..end])
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("written", &self.lock().written).finish()
    }
}
