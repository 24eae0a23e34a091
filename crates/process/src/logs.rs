//! The log of a server: its last lines, and readers of them.

mod output;
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
pub(crate) use self::{output::read_output, stream::read};
use crate::{ProcessLimits, redact::Redactor};

/// The log of one server, of the present run and the one before: its standard error, and the lines of its standard
/// output that are not messages.
pub(crate) struct Logs {
    state: Mutex<LogState>,
    /// The number of the newest line.
    newest: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    longest_line: usize,
    /// A log that receives its lines too.
    parent: Option<Arc<Self>>,
}

struct LogState {
    present: Ring,
    previous: Ring,
    redactor: Redactor,
    written: u64,
    /// The server is gone for good: following readers end.
    closed: bool,
}

impl Logs {
    pub(crate) fn new(limits: &ProcessLimits, clock: Arc<dyn Clock>) -> Self {
        let ring = || Ring::new(limits.log_lines, limits.log_bytes);
        let state = LogState {
            present: ring(),
            previous: ring(),
            redactor: Redactor::default(),
            written: 0,
            closed: false,
        };
        Self {
            state: state.into(),
            newest: watch::Sender::new(0),
            clock,
            longest_line: limits.log_line,
            parent: None,
        }
    }

    /// Returns the log of one of several processes that users see as one server, whose lines go to `all` too.
    pub(crate) fn child_of(all: Arc<Self>, limits: &ProcessLimits) -> Self {
        Self {
            parent: Some(all.clone()),
            ..Self::new(limits, all.clock.clone())
        }
    }

    /// Starts a new run: the present one becomes the previous one.
    pub(crate) fn begin_run(&self, redactor: Redactor) {
        let mut state = self.lock();
        let LogState { present, previous, .. } = &mut *state;
        std::mem::swap(present, previous);
        present.clear();
        state.redactor = redactor;
    }

    /// Adds lines that were read at the same time. Invalid UTF-8 is replaced; long lines are cut.
    pub(crate) fn push<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) {
        let at = self.clock.now();
        let written = {
            let mut state = self.lock();
            for line in lines {
                let line = &line[..line.len().min(2 * self.longest_line)];
                let text = self.cut(state.redactor.clean(String::from_utf8_lossy(line)));
                if let Some(all) = &self.parent {
                    all.push([text.as_bytes()]);
                }
                state.written += 1;
                let number = state.written;
                state.present.push(number, LogLine { at, text });
            }
            if state.closed {
                return;
            }
            state.written
        };
        self.newest.send_replace(written);
    }

    /// Closes the log for good: following readers end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.newest.send_replace(u64::MAX);
    }

    /// Returns the last lines of the present run.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("written", &self.lock().written).finish()
    }
}
