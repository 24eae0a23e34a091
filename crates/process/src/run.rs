//! One run of a server: from its start to its end.

use std::{future::Future, os::unix::process::ExitStatusExt, process::ExitStatus, sync::Arc, time::Duration};

use portolan_core::{Cause, Failure};
use tokio::{
    process::Child,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    inbound::Inbound,
    mailbox::{Mailbox, stopped},
    reader,
    supervisor::Shared,
    writer,
};

/// How long the last words of a server that ended may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How many of the last log lines go into a failure.
const DETAIL: usize = 10;

/// A process, and the tasks that speak with it. Dropping it ends the whole process group.
pub(crate) struct Run {
    shared: Arc<Shared>,
    child: Child,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Its output or its input is closed: it cannot be spoken with any more.
    silent: CancellationToken,
    reader: AbortOnDropHandle<()>,
    errors: AbortOnDropHandle<()>,
    /// Owns the server's input. `None` where the server is not spoken to by stdio.
    writer: Option<AbortOnDropHandle<()>>,
    _timer: AbortOnDropHandle<()>,
}

impl Run {
    /// Takes over a process that was just started. With `speaks`, its standard streams carry messages.
    pub(crate) fn new(shared: Arc<Shared>, mut child: Child, speaks: bool) -> Self {
        shared.leash.hold(child.id());
        let limits = &shared.config.limits;
        let mailbox = Mailbox::new(shared.name.clone(), limits.clone());
        let silent = CancellationToken::new();
        let (logs, longest) = (shared.logs.clone(), limits.log_line);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let errors = own(async move {
            if let Some(stderr) = stderr {
                reader::read_log(stderr, &logs, longest).await;
            }
        });
        let inbound = Inbound {
            mailbox: mailbox.clone(),
            logs: shared.logs.clone(),
            notifications: shared.notifications.clone(),
            limit: limits.line,
        };
        let closing = silent.clone();
        let reader = own(async move {
            match stdout {
                Some(stdout) if speaks => {
                    reader::read_messages(stdout, inbound).await;
                    closing.cancel();
                }
                Some(stdout) => reader::read_log(stdout, &inbound.logs, longest).await,
                None => closing.cancel(),
            }
        });
        let (outgoing, closing) = (mailbox.clone(), silent.clone());
        let writer = stdin.filter(|_| speaks).map(|stdin| {
            own(async move {
                // The server closed its input.
                let _ = writer::write(stdin, &outgoing).await;
                closing.cancel();
            })
        });
        let timer = own(keep_deadlines(mailbox.clone()));
        Self {
            shared,
            child,
            mailbox,
            silent,
            reader,
            errors,
            writer,
            _timer: timer,
        }
    }

    /// Waits until it ends, or cannot be spoken with any more. It may be asked again.
    pub(crate) async fn ended(&mut self) {
        tokio::select! {
            _ = self.child.wait() => {}
            () = self.silent.cancelled() => {}
        }
    }

    /// What is left to do after it ended: nothing of it stays. Tells how it ended.
    pub(crate) async fn bury(&mut self) -> Failure {
        // It may have closed its output and gone on: give it the moment that an orderly exit takes.
        if timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            self.shared.leash.kill();
        }
        let status = self.child.wait().await.ok();
        self.shared.leash.release();
        // Answers that are in the pipe are answers. Somebody who left the group may keep the pipe open for ever.
        let deadline = Instant::now() + LAST_WORDS;
        let _ = tokio::time::timeout_at(deadline, &mut self.reader).await;
        let _ = tokio::time::timeout_at(deadline, &mut self.errors).await;
        let failure = Failure::new(Cause::Exited, format!("the server ended: {}", how(status)));
        self.shared.logs.last(DETAIL).into_iter().fold(failure, Failure::detail)
    }

    /// Ends it in order: closes its input, asks it to end, and kills it, each after a while.
    pub(crate) async fn stop(mut self) {
        let grace = self.shared.config.stop_grace;
        if let Some(writer) = self.writer.take() {
            drop(writer);
            let _ = timeout(grace, self.child.wait()).await;
        }
        if self.shared.leash.pid().is_some() && matches!(self.child.try_wait(), Ok(None)) {
            self.shared.leash.terminate();
            let _ = timeout(grace, self.child.wait()).await;
        }
        self.shared.leash.kill();
        let _ = self.child.wait().await;
        self.shared.leash.release();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.leash.kill();
        self.mailbox.close(&stopped());
    }
}

/// How a process ended, in words.
fn how(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((None, Some(signal))) => format!("killed by signal {signal}"),
        _ => "exit code unknown".into(),
    }
}

/// Fails calls whose time is over, without a timer for each.
async fn keep_deadlines(mailbox: Arc<Mailbox>) {
    loop {
        let next = mailbox.expire(Instant::now());
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = mailbox.earlier() => {}
        }
    }
}

fn own(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
