//! One run of a server: a process from its start to its end.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, sync::Arc, time::Duration};

use portolan_core::{Failure, FailureKind, ServerRequestPolicy};
use tokio::{
    io::AsyncRead,
    process::{Child, ChildStdin, ChildStdout},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{events, shared::Shared};
use crate::{
    channel::{Connection, ConnectionConfig, RpcDispatcher, spawn_owned, stopped},
    host_record::RecordEntry,
    logs::read_output,
};

/// How long the last output of a process that ended may take to be read.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// How long after a process it is looked for its helpers.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// How many of the last log lines go into a failure.
const DETAIL_LINES: usize = 10;

/// A process and the tasks that read and write its pipes. Dropping it kills the whole process group.
pub(crate) struct ServerProcess {
    shared: Arc<Shared>,
    child: Child,
    pub(crate) dispatcher: Arc<RpcDispatcher>,
    /// `None` if the server is reached by HTTP.
    pub(crate) connection: Option<Connection>,
    logs: Vec<AbortOnDropHandle<()>>,
    /// Keeps it in the record of this host; dropped when nothing of it is left.
    _entry: Option<RecordEntry>,
}

impl ServerProcess {
    /// Takes over a process that was just spawned with `mark`. With `server_requests`, its standard streams carry
    /// messages.
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut child: Child,
        mark: &str,
        entry: Option<RecordEntry>,
        server_requests: Option<ServerRequestPolicy>,
    ) -> Self {
        shared.group.set_leader(child.id(), mark);
        let limits = &shared.config.limits;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut process = Self {
            dispatcher: RpcDispatcher::new(shared.channel.name.clone(), limits.clone(), 1),
            connection: None,
            logs: Vec::new(),
            _entry: entry,
            child,
            shared,
        };
        process.read_log(stderr);
        match (server_requests, stdin, stdout) {
            (Some(server_requests), Some(stdin), Some(stdout)) => {
                process.open_connection(server_requests, stdin, stdout);
            }
            (_, _, stdout) => process.read_log(stdout),
        }
        process
    }

    fn read_log(&mut self, output: Option<impl AsyncRead + Send + Unpin + 'static>) {
        let Some(output) = output else { return };
        let (logs, longest) = (self.shared.logs.clone(), self.shared.config.limits.log_line);
        let reading = async move { read_output(output, &logs, longest).await };
        self.logs.push(spawn_owned(reading));
    }

    fn open_connection(&mut self, server_requests: ServerRequestPolicy, stdin: ChildStdin, stdout: ChildStdout) {
        let logs = self.shared.logs.clone();
        let config = ConnectionConfig::new(self.shared.config.limits.clone(), server_requests)
            .with_log(Arc::new(move |line| logs.push([line])));
        let connection = Connection::open(&self.shared.channel, stdout, stdin, config);
        self.dispatcher = connection.dispatcher().clone();
        self.connection = Some(connection);
    }

    /// Waits until the process ends, or closes a pipe that carries messages. It may be awaited again.
    pub(crate) async fn ended(&mut self) {
        let closed = async {
            match &self.connection {
                Some(connection) => connection.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.child.wait() => {}
            () = closed => {}
        }
    }

    /// Cleans up after a process that ended by itself: nothing of its group is left. Returns how it ended.
    pub(crate) async fn reap(&mut self, uptime: Duration) -> Failure {
        // It may have closed its output and gone on: give it the moment that an orderly exit takes.
        if timeout(LAST_OUTPUT, self.child.wait()).await.is_err() {
            self.shared.group.kill();
        }
        let status = self.child.wait().await.ok();
        let pid = self.shared.group.pid();
        self.shared.exited(status);
        self.shared.group.release();
        let exit_status = exit_text(status);
        events::exited(&self.shared.channel.name, pid, &exit_status, uptime);
        // Answers that are in the pipe are answers. A descendant that left the group may keep the pipe open for ever.
        let deadline = Instant::now() + LAST_OUTPUT;
        if let Some(connection) = &mut self.connection {
            let _ = tokio::time::timeout_at(deadline, connection.drained()).await;
        }
        for log in &mut self.logs {
            let _ = tokio::time::timeout_at(deadline, log).await;
        }
        let message = format!("the server ended: {exit_status}");
        let failure = Failure::new(FailureKind::Exited, message);
        let last_lines = self.shared.logs.last(DETAIL_LINES);
        last_lines.into_iter().fold(failure, Failure::detail)
    }

    /// Ends the process and its helpers in order: closes its input, then sends SIGTERM, then SIGKILL, each after its
    /// step, shortened to end by `deadline`.
    pub(crate) async fn stop(mut self, reason: &str, deadline: Option<Instant>) {
        let steps = self.shared.config.stop_steps(deadline);
        let pid = self.shared.group.pid();
        if let Some(connection) = &mut self.connection {
            connection.close_input();
            if timeout(steps.input, self.child.wait()).await.is_ok() {
                self.shared.group.leader_exited();
                // Servers that end at the same time then share one list of processes.
                tokio::time::sleep(LOOK_AFTER).await;
            }
        }
        if pid.is_some() && (matches!(self.child.try_wait(), Ok(None)) || self.shared.group.remains()) {
            self.shared.group.terminate();
            let _ = timeout(steps.terminate, self.gone()).await;
        }
        if self.shared.group.pid().is_some() || self.shared.group.remains() {
            self.shared.group.kill();
        }
        let status = self.child.wait().await.ok();
        self.shared.group.release();
        events::stopped(&self.shared.channel.name, pid, &exit_text(status), reason);
    }
}

impl ServerProcess {
    /// Waits until neither the process nor a helper of it runs.
    async fn gone(&mut self) {
        let _ = self.child.wait().await;
        self.shared.group.leader_exited();
        let mut pause = Duration::from_millis(10);
        while self.shared.group.remains() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(pid) = self.shared.group.pid() {
            self.shared.group.kill();
            events::stopped(
                &self.shared.channel.name,
                Some(pid),
                &exit_text(None),
                "killed: its owner was dropped",
            );
        }
        self.dispatcher.close(&stopped());
    }
}

/// Returns how a process ended, in words.
fn exit_text(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((None, Some(signal))) => format!("killed by signal {signal}"),
        _ => "exit code unknown".into(),
    }
}
