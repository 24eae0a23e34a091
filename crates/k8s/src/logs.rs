//! Logs of a deployment: of its newest pod, and of the pods that replace it.

use std::{
    future::ready,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{
    AsyncBufRead, AsyncBufReadExt, FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::LogParams;
use portolan_core::{Backoff, InstallName, LogLine, LogQuery, Result};
use tokio::{sync::mpsc, time::sleep};

use crate::{
    deployment_state::{DeploymentState, not_found},
    deployment_store::DeploymentStore,
    error::ApiError,
    name::CONTAINER,
};

/// How many lines are buffered for a slow reader.
const BUFFERED_LINES: usize = 64;

/// The longest line that is not truncated, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// How often the next pod to read is looked for.
const NEXT_RUN_POLL: Duration = Duration::from_millis(300);

/// One run of the server's container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ContainerRun {
    pod: String,
    uid: String,
    container: String,
    is_running: bool,
}

/// The position in the log of a run, to continue after an interruption. The API server accepts whole seconds only.
#[derive(Default)]
struct LogPosition {
    until: Option<Timestamp>,
    /// The lines with the timestamp `until`.
    lines_at_until: Vec<String>,
}

type LineSender = mpsc::Sender<Result<LogLine>>;

/// Reads the log of `name`. With `follow` it ends when the deployment is removed, or with the runtime.
pub(crate) fn read(
    store: &Arc<DeploymentStore>,
    name: InstallName,
    query: LogQuery,
) -> BoxStream<'static, Result<LogLine>> {
    let (lines, read) = mpsc::channel(BUFFERED_LINES);
    // Without a task: it reads as fast as its reader, and ends when it is dropped.
    let reading = stream_lines(Arc::downgrade(store), name, query, lines)
        .into_stream()
        .filter_map(|()| ready(None));
    let read = stream::unfold(read, |mut read| async move { Some((read.recv().await?, read)) });
    stream::select(read, reading).boxed()
}

async fn stream_lines(store: Weak<DeploymentStore>, name: InstallName, query: LogQuery, lines: LineSender) {
    let deployment = store.upgrade().and_then(|store| store.deployment_of_install(&name));
    let Some(deployment) = deployment else {
        let _ = lines.send(Err(not_found(&name))).await;
        return;
    };
    let mut last: Option<ContainerRun> = None;
    let mut read = LogPosition::default();
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        if store.strong_count() == 0 || !deployment.is_used_by(&name) || lines.is_closed() {
            return;
        }
        let Some(run) = next_run(&deployment, last.as_ref()) else {
            if !query.follow {
                return;
            }
            sleep(NEXT_RUN_POLL).await;
            continue;
        };
        let is_new = last
            .as_ref()
            .is_none_or(|last| (&last.uid, &last.container) != (&run.uid, &run.container));
        let is_first = last.is_none();
        if is_new {
            read = LogPosition::default();
            backoff.reset();
        }
        last = Some(run.clone());
        match copy(&deployment, &run, &query, is_first, &mut read, &lines).await {
            Ok(()) if !query.follow || query.previous => return,
            // It ended or was interrupted: the state of the run tells which.
            Ok(()) => {
                let wait = if is_new { NEXT_RUN_POLL } else { backoff.next_delay() };
                sleep(wait).await;
            }
            Err(error)
                if query.follow
                    && (error.is_unanswered() || matches!(error, ApiError::NotFound(_) | ApiError::Rejected(_))) =>
            {
                sleep(backoff.next_delay()).await;
            }
            Err(error) => {
                let _ = lines.send(Err(error.into_error("read a log"))).await;
                return;
            }
        }
    }
}

/// Returns the run to read: the previous one while it continues, else the oldest one that is newer and has begun.
fn next_run(deployment: &DeploymentState, last: Option<&ContainerRun>) -> Option<ContainerRun> {
    let live = deployment.live()?;
    let pods = deployment.namespace.objects().pods_of(&live);
    let runs: Vec<ContainerRun> = pods.iter().filter_map(|pod| run_of(pod)).collect();
    let Some(last) = last else {
        return runs.into_iter().next();
    };
    let same = runs.iter().position(|run| run.uid == last.uid);
    if let Some(index) = same {
        let run = &runs[index];
        // It continues, or the container was restarted, or it ended after the log was interrupted.
        if run.is_running || run.container != last.container || last.is_running {
            return Some(run.clone());
        }
    }
    // Newest first: the runs before it are newer.
    let newer = &runs[..same.unwrap_or(runs.len())];
    newer.iter().rfind(|run| run.uid != last.uid).cloned()
}

fn run_of(pod: &Pod) -> Option<ContainerRun> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let is_server = |status: &&ContainerStatus| status.name == CONTAINER;
    let status = statuses.iter().find(is_server).or_else(|| statuses.first())?;
    let state = status.state.as_ref()?;
    let is_running = state.running.is_some();
    let has_run = is_running
        || state.terminated.is_some()
        || status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    let run = ContainerRun {
        pod: pod.metadata.name.clone()?,
        uid: pod.metadata.uid.clone()?,
        container: status.container_id.clone().unwrap_or_default(),
        is_running,
    };
    has_run.then_some(run)
}

/// Copies the unread lines of the log of one run.
async fn copy(
    deployment: &DeploymentState,
    run: &ContainerRun,
    query: &LogQuery,
    is_first: bool,
    read: &mut LogPosition,
    lines: &LineSender,
) -> std::result::Result<(), ApiError> {
    let since = read.until.or_else(|| query.since.filter(|_| is_first));
    let tail = query.tail.filter(|_| is_first && read.until.is_none());
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: query.follow && !query.previous,
        previous: query.previous,
        since_time: since,
        tail_lines: tail.map(|tail| i64::try_from(tail).unwrap_or(i64::MAX)),
        timestamps: true,
        ..LogParams::default()
    };
    let pods = deployment.namespace.client.api::<Pod>();
    let mut log = Box::pin(
        deployment
            .namespace
            .client
            .call_once(pods.log_stream(&run.pod, &params))
            .await?,
    );
    while let Some(line) = next_line(&mut log).await {
        let Some(line) = parse_line(&line) else { continue };
        if query.since.is_some_and(|since| line.at < since) || !read.is_new(&line) {
            continue;
        }
        if lines.send(Ok(line)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl LogPosition {
    fn is_new(&mut self, line: &LogLine) -> bool {
        match self.until {
            Some(until) if line.at < until => return false,
            Some(until) if line.at == until => {
                if self.lines_at_until.contains(&line.text) {
                    return false;
                }
            }
            _ => self.lines_at_until.clear(),
        }
        self.until = Some(line.at);
        self.lines_at_until.push(line.text.clone());
        true
    }
}

/// Reads the next line, truncated to [`MAX_LINE`]. `None` at the end, also after a broken connection.
async fn next_line(log: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let read = log.fill_buf().await.ok()?;
        if read.is_empty() {
            return (!line.is_empty()).then_some(line);
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        let room = MAX_LINE.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(&part[..room]);
        let used = part.len() + usize::from(end.is_some());
        log.consume_unpin(used);
        if end.is_some() {
            return Some(line);
        }
    }
}

/// Splits a line into its timestamp and its text.
fn parse_line(line: &[u8]) -> Option<LogLine> {
    let text = String::from_utf8_lossy(line);
    let (at, text) = text.split_once(' ').unwrap_or((&text, ""));
    Some(LogLine {
        at: at.parse().ok()?,
        text: text.trim_end_matches('\r').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resumed_log_repeats_no_line() {
        let line = |text: &str| parse_line(text.as_bytes()).expect("a line");
        let mut read = LogPosition::default();
        let first = [
            "2026-01-01T00:00:00.1Z a",
            "2026-01-01T00:00:00.2Z b",
            "2026-01-01T00:00:00.2Z c",
        ];
        assert!(first.iter().all(|text| read.is_new(&line(text))));
        assert!(!first.iter().any(|text| read.is_new(&line(text))));
        assert!(read.is_new(&line("2026-01-01T00:00:00.2Z d")));
        assert!(read.is_new(&line("2026-01-01T00:00:01Z a")));
    }

    #[tokio::test]
    async fn long_lines_are_truncated() {
        let text = [vec![b'x'; MAX_LINE + 5], b"\nshort\nlast".to_vec()].concat();
        let mut log = futures_util::io::Cursor::new(text);
        assert_eq!(next_line(&mut log).await.map(|line| line.len()), Some(MAX_LINE));
        assert_eq!(next_line(&mut log).await.as_deref(), Some(&b"short"[..]));
        assert_eq!(next_line(&mut log).await.as_deref(), Some(&b"last"[..]));
        assert_eq!(next_line(&mut log).await, None);
    }
}
