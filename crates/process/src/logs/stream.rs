//! A log as a stream of lines.

use std::sync::{Arc, Weak};

use futures_util::stream::{self, BoxStream, StreamExt};
use portolan_core::{LogLine, LogQuery, Result};
use tokio::sync::watch;

use super::{LogState, Logs};

/// Returns the lines that `query` selects. A stream that follows ends when the server is removed.
pub(crate) fn read(logs: &Arc<Logs>, query: &LogQuery) -> BoxStream<'static, Result<LogLine>> {
    let (present, from) = logs.lock().select(query);
    let present = stream::iter(present.into_iter().map(Ok));
    if !query.follow || query.previous {
        return present.boxed();
    }
    let follower = Follower {
        newest: logs.newest.subscribe(),
        logs: Arc::downgrade(logs),
        from,
    };
    let later = stream::unfold(follower, Follower::next).flat_map(stream::iter);
    present.chain(later.map(Ok)).boxed()
}

struct Follower {
    newest: watch::Receiver<u64>,
    logs: Weak<Logs>,
    from: u64,
}

impl Follower {
    /// Waits for more lines. `None` when the log is closed or gone.
    async fn next(mut self) -> Option<(Vec<LogLine>, Self)> {
        let from = self.from;
        self.newest.wait_for(|newest| *newest > from).await.ok()?;
        let lines = {
            let logs = self.logs.upgrade()?;
            let state = logs.lock();
            self.from = state.written;
            state.after(from)
        };
        let is_end = lines.is_empty() && *self.newest.borrow() == u64::MAX;
        (!is_end).then_some((lines, self))
    }
}

impl LogState {
    /// Returns the present lines that `query` selects, and the number of the newest line.
    fn select(&self, query: &LogQuery) -> (Vec<LogLine>, u64) {
        let ring = if query.previous { &self.previous } else { &self.present };
        let mut lines: Vec<_> = ring
            .since(0)
            .map(|(_, line)| line)
            .filter(|line| query.since.is_none_or(|since| line.at >= since))
            .cloned()
            .collect();
        if let Some(tail) = query.tail {
            lines.drain(..lines.len().saturating_sub(tail));
        }
        (lines, self.written)
    }

    /// Returns all lines after number `after`, across a restart.
    fn after(&self, after: u64) -> Vec<LogLine> {
        let both = self.previous.since(after).chain(self.present.since(after));
        both.map(|(_, line)| line.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::SystemClock;

    use super::*;
    use crate::{ProcessLimits, redact::Redactor};

    fn logs() -> Arc<Logs> {
        Arc::new(Logs::new(&ProcessLimits::default(), Arc::new(SystemClock)))
    }

    fn texts(lines: Vec<Result<LogLine>>) -> Vec<String> {
        lines.into_iter().map(|line| line.unwrap().text).collect()
    }

    #[tokio::test]
    async fn tail_and_previous_run() {
        let logs = logs();
        logs.push([&b"a"[..], b"b", b"c"]);
        let tail = LogQuery {
            tail: Some(2),
            ..LogQuery::default()
        };
        assert_eq!(texts(read(&logs, &tail).collect().await), ["b", "c"]);
        logs.begin_run(Redactor::default());
        assert!(read(&logs, &tail).collect::<Vec<_>>().await.is_empty());
        let previous = LogQuery {
            previous: true,
            follow: true,
            ..tail
        };
        assert_eq!(texts(read(&logs, &previous).collect().await), ["b", "c"]);
    }

    #[tokio::test]
    async fn follow_across_restart() {
        let logs = logs();
        logs.push([&b"a"[..]]);
        let follow = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        let reader = tokio::spawn(read(&logs, &follow).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        logs.push([&b"b"[..]]);
        logs.begin_run(Redactor::default());
        logs.push([&b"c"[..], b"\xff"]);
        tokio::task::yield_now().await;
        drop(logs);
        assert_eq!(texts(reader.await.unwrap()), ["a", "b", "c", "\u{fffd}"]);
    }
}
