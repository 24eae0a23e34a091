//! Starts a server again and again, until it is told to stop.

use std::{sync::Arc, time::Duration};

use portolan_core::{Failure, FailureKind, ProtocolEra, ServerRequestPolicy, Status};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    ServerCommand, StdioServer,
    command_factory::CommandFactory,
    dispatcher::{RpcDispatcher, stopped},
    handshake::{Handshake, HandshakeOrder},
    launch::{launch, needs_private_dir},
    redact::Redactor,
    restart::RestartCounter,
    server_process::ServerProcess,
    stdio_channel::{Phase, Ready},
    supervisor::{Shared, Supervisor},
    workdir::PrivateDir,
};

mod port;

/// What a keeper is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// End the server for good, after calls under way had `drain` to finish.
    Stop { drain: Duration },
    /// The same, and start it again.
    Restart { drain: Duration },
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// By lines on its standard streams.
    Stdio,
    /// By HTTP on this port, which is not the keeper's business.
    Http { port: u16 },
}

/// The one task that owns the process of a server, through all its runs.
pub(crate) struct ProcessLoop {
    shared: Arc<Shared>,
    factory: Box<dyn CommandFactory>,
    speech: Transport,
    commands: mpsc::Receiver<Command>,
    predecessor: Option<Arc<StdioServer>>,
    restarts: RestartCounter,
    starts: u32,
    /// The server died of the modern probe once.
    probe_kills: bool,
    private: Option<PrivateDir>,
}

/// How a run was over.
enum RunOutcome {
    /// It was told to stop.
    Stopped,
    /// It is to be started again at once.
    Again,
    /// It failed after it could be called for `uptime`.
    Failed { failure: Failure, uptime: Duration },
}

impl ProcessLoop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        factory: Box<dyn CommandFactory>,
        speech: Transport,
        commands: mpsc::Receiver<Command>,
        predecessor: Option<Arc<StdioServer>>,
    ) -> Self {
        Self {
            restarts: RestartCounter::new(shared.config.restarts.clone()),
            shared,
            factory,
            speech,
            commands,
            predecessor,
            starts: 0,
            probe_kills: false,
            private: None,
        }
    }

    pub(crate) async fn run(mut self) {
        if let Some(predecessor) = self.predecessor.take()
            && !self.wait_for_predecessor(&predecessor.supervisor).await
        {
            return self.shared.end();
        }
        loop {
            match self.run_once().await {
                RunOutcome::Stopped => break,
                RunOutcome::Again => {}
                RunOutcome::Failed { failure, uptime } => {
                    let wait = self.after_failure(failure, uptime);
                    let received = timeout(wait, self.commands.recv()).await;
                    match received {
                        Err(_) => {}
                        Ok(Some(Command::Restart { .. })) => {
                            self.restarts.reset();
                            self.shared.channel.set(Phase::Starting(None));
                        }
                        Ok(Some(Command::Stop { .. }) | None) => break,
                    }
                }
            }
        }
        self.shared.end();
    }

    /// Waits until the server before this one has ended. Whether this one shall still start.
    async fn wait_for_predecessor(&mut self, predecessor: &Supervisor) -> bool {
        let stopped = predecessor.stop(self.shared.config.drain);
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return true,
                received = self.commands.recv() => match received {
                    Some(Command::Restart { .. }) => {}
                    Some(Command::Stop { .. }) | None => {
                        predecessor.kill();
                        return false;
                    }
                },
            }
        }
    }

    async fn run_once(&mut self) -> RunOutcome {
        let command = tokio::select! {
            command = self.factory.command() => command,
            received = self.commands.recv() => return match received {
                Some(Command::Restart { .. }) => RunOutcome::Again,
                Some(Command::Stop { .. }) | None => RunOutcome::Stopped,
            },
        };
        let (mut process, handshake_order, server_requests) = match command.and_then(|command| self.start(&command)) {
            Ok(started) => started,
            Err(failure) => return failed(failure),
        };
        let dispatcher = process.dispatcher.clone();
        let outcome = tokio::select! {
            biased;
            () = process.ended() => None,
            outcome = wait_until_ready(&self.shared, dispatcher, self.speech, (handshake_order, server_requests)) => Some(outcome),
            received = self.commands.recv() => return self.handle_command(process, received).await,
        };
        match outcome {
            Some(Ok(mut ready)) => {
                if let Some(handshake) = &mut ready.handshake {
                    handshake.generation = u64::from(self.starts);
                }
                self.serve(process, ready).await
            }
            Some(Err(failure)) => {
                process.stop().await;
                failed(self.with_log(failure))
            }
            None => {
                let failure = process.reap().await;
                if handshake_order == HandshakeOrder::Probe && !self.probe_kills {
                    self.probe_kills = true;
                    return RunOutcome::Again;
                }
                failed(failure)
            }
        }
    }

    /// Starts the process.
    fn start(
        &mut self,
        command: &ServerCommand,
    ) -> Result<(ServerProcess, HandshakeOrder, ServerRequestPolicy), Failure> {
        if let Transport::Http { port } = self.speech {
            port::check_free(port)?;
        }
        self.starts = self.starts.saturating_add(1);
        self.shared.logs.begin_run(Redactor::of(command));
        let handshake_order = self.handshake_order(command);
        if self.private.is_none() && needs_private_dir(command, &self.shared.config) {
            self.private = Some(self.private_dir()?);
        }
        let child = launch(command, &self.shared.config, self.private.as_ref())?;
        let server_requests = matches!(self.speech, Transport::Stdio).then_some(command.server_requests);
        Ok((
            ServerProcess::new(self.shared.clone(), child, server_requests),
            handshake_order,
            command.server_requests,
        ))
    }

    fn private_dir(&self) -> Result<PrivateDir, Failure> {
        let base = &self.shared.config.base_dir;
        PrivateDir::create(base, &self.shared.channel.name).map_err(|error| {
            let base = base.display();
            Failure::new(
                FailureKind::Start,
                format!("no private directory can be made below {base}: {error}"),
            )
        })
    }

    fn handshake_order(&self, command: &ServerCommand) -> HandshakeOrder {
        match command.era {
            ProtocolEra::Modern => HandshakeOrder::Modern,
            ProtocolEra::Legacy => HandshakeOrder::Legacy,
            ProtocolEra::Auto if self.probe_kills => HandshakeOrder::LegacyFirst,
            ProtocolEra::Auto => HandshakeOrder::Probe,
        }
    }

    /// Lets callers in until the run ends or an order comes.
    async fn serve(&mut self, mut process: ServerProcess, ready: Ready) -> RunOutcome {
        let since = Instant::now();
        self.shared.channel.set(Phase::Ready(ready.into()));
        (self.shared.report)(Status::Ready, self.starts.saturating_sub(1));
        tokio::select! {
            biased;
            () = process.ended() => {}
            received = self.commands.recv() => return self.handle_command(process, received).await,
        }
        let uptime = since.elapsed();
        // From here on calls wait for the next run; only then do those of this one fail, so that none can slip between.
        self.shared.channel.set(Phase::Starting(None));
        let failure = process.reap().await;
        process.dispatcher.close(&failure);
        RunOutcome::Failed { failure, uptime }
    }

    async fn handle_command(&mut self, mut process: ServerProcess, received: Option<Command>) -> RunOutcome {
        let (phase, drain, last_words, over) = match received {
            Some(Command::Restart { drain }) => {
                let failure = Failure::new(FailureKind::Exited, "the server is being restarted, as was asked for");
                self.restarts.reset();
                (self.report_restart(&failure), drain, failure, RunOutcome::Again)
            }
            Some(Command::Stop { drain }) => (Phase::Down(stopped()), drain, stopped(), RunOutcome::Stopped),
            None => (Phase::Down(stopped()), Duration::ZERO, stopped(), RunOutcome::Stopped),
        };
        self.shared.channel.set(phase);
        let dispatcher = process.dispatcher.clone();
        let hurry = tokio::select! {
            _ = timeout(drain, dispatcher.idle()) => false,
            () = process.ended() => false,
            received = self.commands.recv() => !matches!(received, Some(Command::Restart { .. })),
        };
        dispatcher.close(&last_words);
        process.stop().await;
        if hurry { RunOutcome::Stopped } else { over }
    }

    fn report_restart(&self, failure: &Failure) -> Phase {
        let status = Status::Restarting {
            failure: failure.clone(),
        };
        (self.shared.report)(status, self.starts);
        Phase::Starting(Some(failure.clone()))
    }

    /// Tells everybody about a failure, and for how long to wait.
    fn after_failure(&mut self, failure: Failure, uptime: Duration) -> Duration {
        let next = self.restarts.failed(uptime);
        let restarts = self.starts.saturating_sub(1);
        let (failure, wait) = match failure.kind {
            FailureKind::Exited if next.crash_loop => (self.crash_loop(&failure), next.wait),
            // Whatever else: if it mends by waiting, then soon.
            FailureKind::Exited | FailureKind::Connection if !next.crash_loop => {
                let status = Status::Restarting {
                    failure: failure.clone(),
                };
                self.shared.channel.set(Phase::Starting(Some(failure)));
                (self.shared.report)(status, restarts);
                return next.wait;
            }
            _ => (failure, self.restarts.slow_retry()),
        };
        let status = Status::Failed {
            failure: failure.clone(),
        };
        self.shared.channel.set(Phase::Down(failure));
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
async fn wait_until_ready(
    shared: &Shared,
    dispatcher: Arc<RpcDispatcher>,
    speech: Transport,
    (handshake_order, server_requests): (HandshakeOrder, ServerRequestPolicy),
) -> Result<Ready, Failure> {
    let deadline = Instant::now() + shared.config.start_deadline;
    let handshake = match speech {
        Transport::Http { port } => {
            port::wait_for(port, deadline).await?;
            None
        }
        Transport::Stdio => {
            let handshake = Handshake {
                dispatcher: &dispatcher,
                server_requests,
                patience: shared.config.probe_patience,
                deadline,
            };
            Some(handshake.run(handshake_order).await?)
        }
    };
    Ok(Ready { dispatcher, handshake })
}

fn failed(failure: Failure) -> RunOutcome {
    RunOutcome::Failed {
        failure,
        uptime: Duration::ZERO,
    }
}
