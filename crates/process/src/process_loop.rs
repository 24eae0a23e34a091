//! Starts a server again and again, until it is told to stop.

use std::{sync::Arc, time::Duration};

use portolan_core::{Failure, FailureKind, ProtocolEra, ServerRequestPolicy, Status};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    ServerCommand, StdioServer,
    command_factory::Recipe,
    dispatcher::{Mailbox, stopped},
    handshake::{Handshake, Opening},
    launch::{launch, needs_private_dir},
    redact::Redactor,
    restart::Restarts,
    server_process::Run,
    stdio_channel::{Phase, Ready},
    supervisor::{Shared, Supervisor},
    workdir::PrivateDir,
};

mod port;

/// What a keeper is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// End the server for good, after calls under way had `drain` to finish.
    Stop { drain: Duration },
    /// The same, and start it again.
    Restart { drain: Duration },
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speech {
    /// By lines on its standard streams.
    Stdio,
    /// By HTTP on this port, which is not the keeper's business.
    Http { port: u16 },
}

/// The one task that owns the process of a server, through all its runs.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    recipe: Box<dyn Recipe>,
    speech: Speech,
    orders: mpsc::Receiver<Order>,
    before: Option<Arc<StdioServer>>,
    restarts: Restarts,
    starts: u32,
    /// The server died of the modern probe once.
    probe_kills: bool,
    private: Option<PrivateDir>,
}

/// How a run was over.
enum Over {
    /// It was told to stop.
    Stopped,
    /// It is to be started again at once.
    Again,
    /// It failed after it could be called for `healthy`.
    Failed { failure: Failure, healthy: Duration },
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        recipe: Box<dyn Recipe>,
        speech: Speech,
        orders: mpsc::Receiver<Order>,
        before: Option<Arc<StdioServer>>,
    ) -> Self {
        Self {
            restarts: Restarts::new(shared.config.restarts.clone()),
            shared,
            recipe,
            speech,
            orders,
            before,
            starts: 0,
            probe_kills: false,
            private: None,
        }
    }

    pub(crate) async fn keep(mut self) {
        if let Some(before) = self.before.take()
            && !self.follow(&before.supervisor).await
        {
            return self.shared.end();
        }
        loop {
            match self.one_run().await {
                Over::Stopped => break,
                Over::Again => {}
                Over::Failed { failure, healthy } => {
                    let wait = self.judge(failure, healthy);
                    let order = timeout(wait, self.orders.recv()).await;
                    match order {
                        Err(_) => {}
                        Ok(Some(Order::Restart { .. })) => {
                            self.restarts.forget();
                            self.shared.front.set(Phase::Starting(None));
                        }
                        Ok(Some(Order::Stop { .. }) | None) => break,
                    }
                }
            }
        }
        self.shared.end();
    }

    /// Waits until the server before this one has ended. Whether this one shall still start.
    async fn follow(&mut self, before: &Supervisor) -> bool {
        let stopped = before.stop(self.shared.config.drain);
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return true,
                order = self.orders.recv() => match order {
                    Some(Order::Restart { .. }) => {}
                    Some(Order::Stop { .. }) | None => {
                        before.kill();
                        return false;
                    }
                },
            }
        }
    }

    async fn one_run(&mut self) -> Over {
        let command = tokio::select! {
            command = self.recipe.command() => command,
            order = self.orders.recv() => return match order {
                Some(Order::Restart { .. }) => Over::Again,
                Some(Order::Stop { .. }) | None => Over::Stopped,
            },
        };
        let (mut run, opening, server_requests) = match command.and_then(|command| self.start(&command)) {
            Ok(started) => started,
            Err(failure) => return failed(failure),
        };
        let mailbox = run.mailbox.clone();
        let introduced = tokio::select! {
            biased;
            () = run.ended() => None,
            introduced = introduce(&self.shared, mailbox, self.speech, (opening, server_requests)) => Some(introduced),
            order = self.orders.recv() => return self.obey(run, order).await,
        };
        match introduced {
            Some(Ok(mut ready)) => {
                if let Some(hello) = &mut ready.hello {
                    hello.generation = u64::from(self.starts);
                }
                self.serve(run, ready).await
            }
            Some(Err(failure)) => {
                run.stop().await;
                failed(self.with_log(failure))
            }
            None => {
                let failure = run.bury().await;
                if opening == Opening::Probe && !self.probe_kills {
                    self.probe_kills = true;
                    return Over::Again;
                }
                failed(failure)
            }
        }
    }

    /// Starts the process.
    fn start(&mut self, command: &ServerCommand) -> Result<(Run, Opening, ServerRequestPolicy), Failure> {
        if let Speech::Http { port } = self.speech {
            port::check_free(port)?;
        }
        self.starts = self.starts.saturating_add(1);
        self.shared.logs.begin_run(Redactor::of(command));
        let opening = self.opening(command);
        if self.private.is_none() && needs_private_dir(command, &self.shared.config) {
            self.private = Some(self.private_dir()?);
        }
        let child = launch(command, &self.shared.config, self.private.as_ref())?;
        let server_requests = matches!(self.speech, Speech::Stdio).then_some(command.server_requests);
        Ok((
            Run::new(self.shared.clone(), child, server_requests),
            opening,
            command.server_requests,
        ))
    }

    fn private_dir(&self) -> Result<PrivateDir, Failure> {
        let base = &self.shared.config.base_dir;
        PrivateDir::create(base, &self.shared.front.name).map_err(|error| {
            let base = base.display();
            Failure::new(
                FailureKind::Start,
                format!("no private directory can be made below {base}: {error}"),
            )
        })
    }

    fn opening(&self, command: &ServerCommand) -> Opening {
        match command.era {
            ProtocolEra::Modern => Opening::Modern,
            ProtocolEra::Legacy => Opening::Legacy,
            ProtocolEra::Auto if self.probe_kills => Opening::LegacyFirst,
            ProtocolEra::Auto => Opening::Probe,
        }
    }

    /// Lets callers in until the run ends or an order comes.
    async fn serve(&mut self, mut run: Run, ready: Ready) -> Over {
        let since = Instant::now();
        self.shared.front.set(Phase::Ready(ready.into()));
        (self.shared.report)(Status::Ready, self.starts.saturating_sub(1));
        tokio::select! {
            biased;
            () = run.ended() => {}
            order = self.orders.recv() => return self.obey(run, order).await,
        }
        let healthy = since.elapsed();
        // From here on calls wait for the next run; only then do those of this one fail, so that none can slip between.
        self.shared.front.set(Phase::Starting(None));
        let failure = run.bury().await;
        run.mailbox.close(&failure);
        Over::Failed { failure, healthy }
    }

    async fn obey(&mut self, mut run: Run, order: Option<Order>) -> Over {
        let (phase, drain, last_words, over) = match order {
            Some(Order::Restart { drain }) => {
                let failure = Failure::new(FailureKind::Exited, "the server is being restarted, as was asked for");
                self.restarts.forget();
                (self.report_restart(&failure), drain, failure, Over::Again)
            }
            Some(Order::Stop { drain }) => (Phase::Down(stopped()), drain, stopped(), Over::Stopped),
            None => (Phase::Down(stopped()), Duration::ZERO, stopped(), Over::Stopped),
        };
        self.shared.front.set(phase);
        let mailbox = run.mailbox.clone();
        let hurry = tokio::select! {
            _ = timeout(drain, mailbox.idle()) => false,
            () = run.ended() => false,
            order = self.orders.recv() => !matches!(order, Some(Order::Restart { .. })),
        };
        mailbox.close(&last_words);
        run.stop().await;
        if hurry { Over::Stopped } else { over }
    }

    fn report_restart(&self, failure: &Failure) -> Phase {
        let status = Status::Restarting {
            failure: failure.clone(),
        };
        (self.shared.report)(status, self.starts);
        Phase::Starting(Some(failure.clone()))
    }

    /// Tells everybody about a failure, and for how long to wait.
    fn judge(&mut self, failure: Failure, healthy: Duration) -> Duration {
        let next = self.restarts.failed(healthy);
        let restarts = self.starts.saturating_sub(1);
        let (failure, wait) = match failure.kind {
            FailureKind::Exited if next.crash_loop => (self.crash_loop(&failure), next.wait),
            // Whatever else: if it mends by waiting, then soon.
            FailureKind::Exited | FailureKind::Connection if !next.crash_loop => {
                let status = Status::Restarting {
                    failure: failure.clone(),
                };
                self.shared.front.set(Phase::Starting(Some(failure)));
                (self.shared.report)(status, restarts);
                return next.wait;
            }
            _ => (failure, self.restarts.hopeless()),
        };
        let status = Status::Failed {
            failure: failure.clone(),
        };
        self.shared.front.set(Phase::Down(failure));
        (self.shared.report)(status, restarts);
        wait
    }

    fn crash_loop(&self, last: &Failure) -> Failure {
        let times = self.restarts.failures();
        let mut failure = Failure::new(
            FailureKind::CrashLoop,
            format!("the server ended {times} times in a row; last, {}", last.message),
        )
        .remedy("read its log and correct its arguments or credentials; it is still tried now and then");
        failure.detail.clone_from(&last.detail);
        failure
    }

    /// The failure with the last log lines.
    fn with_log(&self, failure: Failure) -> Failure {
        self.shared.logs.last(10).into_iter().fold(failure, Failure::detail)
    }
}

/// Waits until a new run can be called.
async fn introduce(
    shared: &Shared,
    mailbox: Arc<Mailbox>,
    speech: Speech,
    (opening, server_requests): (Opening, ServerRequestPolicy),
) -> Result<Ready, Failure> {
    let deadline = Instant::now() + shared.config.start_deadline;
    let hello = match speech {
        Speech::Http { port } => {
            port::wait_for(port, deadline).await?;
            None
        }
        Speech::Stdio => {
            let handshake = Handshake {
                mailbox: &mailbox,
                server_requests,
                patience: shared.config.probe_patience,
                deadline,
            };
            Some(handshake.handshake(opening).await?)
        }
    };
    Ok(Ready { mailbox, hello })
}

fn failed(failure: Failure) -> Over {
    Over::Failed {
        failure,
        healthy: Duration::ZERO,
    }
}
