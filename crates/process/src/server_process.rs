//! One run of a server: from its start to its end.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, sync::Arc, time::Duration};

use portolan_core::{Failure, FailureKind, ServerRequestPolicy};
use tokio::{
    process::Child,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Connection, ConnectionConfig,
    connection::own,
    dispatcher::{RpcDispatcher, stopped},
    reader,
    supervisor::Shared,
};

/// How long the last words of a server that ended may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How many of the last log lines go into a failure.
const DETAIL: usize = 10;

/// A process, and the tasks that speak with it. Dropping it ends the whole process group.
pub(crate) struct ServerProcess {
    shared: Arc<Shared>,
    child: Child,
    pub(crate) dispatcher: Arc<RpcDispatcher>,
    /// `None` where the server is not spoken to by stdio.
    pub(crate) connection: Option<Connection>,
    logs: Vec<AbortOnDropHandle<()>>,
}

impl ServerProcess {
    /// Takes over a process that was just started. With `server_requests`, its standard streams carry messages.
    pub(crate) fn new(shared: Arc<Shared>, mut child: Child, server_requests: Option<ServerRequestPolicy>) -> Self {
        shared.group.set_leader(child.id());
        let limits = &shared.config.limits;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut process = Self {
            dispatcher: RpcDispatcher::new(shared.channel.name.clone(), limits.clone(), 1),
            connection: None,
            logs: Vec::new(),
            child,
            shared,
        };
        process.log(stderr);
        match (server_requests, stdin, stdout) {
            (Some(server_requests), Some(stdin), Some(stdout)) => {
                process.open_connection(server_requests, stdin, stdout)
            }
            (_, _, stdout) => process.log(stdout),
        }
        process
    }

    fn log(&mut self, output: Option<impl tokio::io::AsyncRead + Send + Unpin + 'static>) {
        let Some(output) = output else { return };
        let (logs, longest) = (self.shared.logs.clone(), self.shared.config.limits.log_line);
        self.logs
            .push(own(async move { reader::read_log(output, &logs, longest).await }));
    }

    fn open_connection(
        &mut self,
        server_requests: ServerRequestPolicy,
        stdin: tokio::process::ChildStdin,
        stdout: tokio::process::ChildStdout,
    ) {
        let logs = self.shared.logs.clone();
        let mut config = ConnectionConfig::new(self.shared.config.limits.clone(), server_requests);
        config.log = Arc::new(move |line| logs.push([line]));
        let connection = Connection::open(&self.shared.channel, stdout, stdin, config);
        self.dispatcher = connection.dispatcher().clone();
        self.connection = Some(connection);
    }

    /// Waits until it ends, or cannot be spoken with any more. It may be asked again.
    pub(crate) async fn ended(&mut self) {
        let silent = async {
            match &self.connection {
                Some(connection) => connection.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.child.wait() => {}
            () = silent => {}
        }
    }

    /// What is left to do after it ended: nothing of it stays. Tells how it ended.
    pub(crate) async fn reap(&mut self) -> Failure {
        // It may have closed its output and gone on: give it the moment that an orderly exit takes.
        if timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            self.shared.group.kill();
        }
        let status = self.child.wait().await.ok();
        self.shared.exited(status);
        self.shared.group.release();
        // Answers that are in the pipe are answers. Somebody who left the group may keep the pipe open for ever.
        let deadline = Instant::now() + LAST_WORDS;
        if let Some(connection) = &mut self.connection {
            let _ = tokio::time::timeout_at(deadline, connection.drained()).await;
        }
        for log in &mut self.logs {
            let _ = tokio::time::timeout_at(deadline, log).await;
        }
        let failure = Failure::new(FailureKind::Exited, format!("the server ended: {}", exit_text(status)));
        self.shared.logs.last(DETAIL).into_iter().fold(failure, Failure::detail)
    }

    /// Ends it in order: closes its input, asks it to end, and kills it, each after a while.
    pub(crate) async fn stop(mut self) {
        let grace = self.shared.config.stop_grace;
        if let Some(connection) = &mut self.connection {
            connection.hang_up();
            let _ = timeout(grace, self.child.wait()).await;
        }
        if self.shared.group.pid().is_some() && matches!(self.child.try_wait(), Ok(None)) {
            self.shared.group.terminate();
            let _ = timeout(grace, self.child.wait()).await;
        }
        self.shared.group.kill();
        let _ = self.child.wait().await;
        self.shared.group.release();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.shared.group.kill();
        self.dispatcher.close(&stopped());
    }
}

/// How a process ended, in words.
fn exit_text(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((None, Some(signal))) => format!("killed by signal {signal}"),
        _ => "exit code unknown".into(),
    }
}
