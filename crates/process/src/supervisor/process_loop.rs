//! The task that owns the process of a server: it starts it, and starts it again, until it is told to stop.

use std::{sync::Arc, time::Duration};

use portolan_core::{Failure, FailureKind, ProtocolEra, ServerRequestPolicy, Status};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    events,
    launch::{launch, needs_private_dir},
    server_process::ServerProcess,
    shared::Shared,
    workdir::PrivateDir,
};
use crate::{
    ServerCommand,
    channel::{Handshake, HandshakeOrder, Phase, Ready, RpcDispatcher, stopped},
    command_factory::CommandFactory,
    host_record::{self, HostRecord},
    processes::{ProcessId, Token},
    redact::Redactor,
    restart_policy::RestartCounter,
};

mod port;

/// How much of the last log line the message of a crash loop has, in bytes.
const LAST_LINE: usize = 200;

/// A command of the supervisor to its [`ProcessLoop`].
#[derive(Debug)]
pub(crate) enum Command {
    /// Ends the server for good, after calls under way had `drain` to finish; by `deadline`, if there is one.
    Stop { drain: Duration, deadline: Option<Instant> },
    /// Ends the server likewise and starts it again.
    Restart { drain: Duration },
}

/// How messages reach a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// By lines on its standard streams.
    Stdio,
    /// By HTTP on this port of 127.0.0.1; whoever calls it does so without this crate.
    Http { port: u16 },
}

/// Owns the process of one server through all its runs.
pub(crate) struct ProcessLoop {
    shared: Arc<Shared>,
    factory: Box<dyn CommandFactory>,
    transport: Transport,
    commands: mpsc::Receiver<Command>,
    restarts: RestartCounter,
    starts: u32,
    private_dir: Option<PrivateDir>,
    /// The record of this host's servers, if it keeps one.
    record: Option<Arc<HostRecord>>,
}

/// A process that was spawned, and what its handshake begins with.
struct Started {
    process: ServerProcess,
    order: HandshakeOrder,
    server_requests: ServerRequestPolicy,
}

/// How a run ended.
enum RunOutcome {
    /// It was told to stop.
    Stopped,
    /// It is to be started again at once.
    Restart,
    /// It failed after it was ready for `uptime`.
    Failed { failure: Failure, uptime: Duration },
}

impl RunOutcome {
    /// A run that was never ready.
    fn failed(failure: Failure) -> Self {
        Self::Failed {
            failure,
            uptime: Duration::ZERO,
        }
    }
}

impl ProcessLoop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        factory: Box<dyn CommandFactory>,
        transport: Transport,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            restarts: RestartCounter::new(shared.config.restarts.clone()),
            shared,
            factory,
            transport,
            commands,
            starts: 0,
            private_dir: None,
            record: None,
        }
    }

    /// Runs the server until it is told to stop, or its supervisor is gone.
    pub(crate) async fn run(mut self) {
        if self.end_orphans().await {
            self.run_until_stopped().await;
        }
        self.shared.end();
    }

    /// Ends what an earlier host has left, before a second copy is started. Returns false if the server was stopped
    /// meanwhile.
    async fn end_orphans(&mut self) -> bool {
        let config = &self.shared.config;
        self.record = HostRecord::of(config);
        let Some(record) = &self.record else { return true };
        let ending = record.end_orphans(&config.base_dir, config.stop_grace);
        tokio::pin!(ending);
        loop {
            tokio::select! {
                () = &mut ending => return true,
                command = self.commands.recv() => match command {
                    Some(Command::Restart { .. }) => {}
                    Some(Command::Stop { .. }) | None => return false,
                },
            }
        }
    }

    async fn run_until_stopped(&mut self) {
        loop {
            match self.run_once().await {
                RunOutcome::Stopped => break,
                RunOutcome::Restart => {}
                RunOutcome::Failed { failure, uptime } => {
                    let delay = self.after_failure(failure, uptime);
                    match timeout(delay, self.commands.recv()).await {
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
    }

    async fn run_once(&mut self) -> RunOutcome {
        let command = tokio::select! {
            command = self.factory.command() => command,
            command = self.commands.recv() => return match command {
                Some(Command::Restart { .. }) => RunOutcome::Restart,
                Some(Command::Stop { .. }) | None => RunOutcome::Stopped,
            },
        };
        if let Transport::Http { port } = self.transport
            && port::check_free(port).is_err()
            && self.record.is_some()
        {
            // Another host with this base directory may have been killed since this one started.
            let config = &self.shared.config;
            host_record::end_orphans(&config.base_dir, config.stop_grace).await;
        }
        let mut started = match command.and_then(|command| self.start(&command)) {
            Ok(started) => started,
            Err(failure) => return RunOutcome::failed(failure),
        };
        let dispatcher = started.process.dispatcher.clone();
        let handshake = (started.order, started.server_requests);
        let outcome = tokio::select! {
            biased;
            () = started.process.ended() => None,
            outcome = wait_until_ready(&self.shared, dispatcher, self.transport, handshake) => Some(outcome),
            command = self.commands.recv() => return self.handle_command(started.process, command).await,
        };
        match outcome {
            Some(Ok(mut ready)) => {
                if let Some(handshake) = &mut ready.handshake {
                    handshake.generation = u64::from(self.starts);
                }
                self.serve(started.process, ready).await
            }
            Some(Err(failure)) => {
                started.process.stop("it did not become ready", None).await;
                match self.is_spoiled(started.order, failure.kind) {
                    true => RunOutcome::Restart,
                    false => RunOutcome::failed(self.with_log(failure)),
                }
            }
            None => self.after_exit_at_start(started).await,
        }
    }

    /// Spawns the process.
    fn start(&mut self, command: &ServerCommand) -> Result<Started, Failure> {
        if let Transport::Http { port } = self.transport {
            port::check_free(port)?;
        }
        self.starts = self.starts.saturating_add(1);
        self.shared.logs.begin_run(Redactor::of(command));
        if self.private_dir.is_none() && needs_private_dir(command, &self.shared.config) {
            self.private_dir = Some(self.create_private_dir()?);
        }
        let mark = match &self.record {
            Some(record) => record.next_mark(),
            None => Token::new().next_mark(),
        };
        let private_dir = self.private_dir.as_ref();
        let child = launch(command, &self.shared.config, private_dir, &mark)?;
        events::started(&self.shared.channel.name, child.id(), self.starts);
        let id = child.id().and_then(ProcessId::of);
        let entry = self.record.as_ref().zip(id);
        let entry = entry.map(|(record, id)| record.add(id, &mark, private_dir.map(PrivateDir::path)));
        let server_requests = matches!(self.transport, Transport::Stdio).then_some(command.server_requests);
        Ok(Started {
            process: ServerProcess::new(self.shared.clone(), child, &mark, entry, server_requests),
            order: self.handshake_order(command),
            server_requests: command.server_requests,
        })
    }

    fn create_private_dir(&self) -> Result<PrivateDir, Failure> {
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
            ProtocolEra::Auto if self.shared.probe.is_legacy_first() => HandshakeOrder::LegacyFirst,
            ProtocolEra::Auto => HandshakeOrder::ProbeFirst,
        }
    }

    /// Handles a process that exited before it was ready. Some legacy servers exit at a method they do not know: the
    /// first exit during a probe is followed by a start without one, and is no failure.
    async fn after_exit_at_start(&mut self, mut started: Started) -> RunOutcome {
        let failure = started.process.reap(Duration::ZERO).await;
        if started.order == HandshakeOrder::ProbeFirst {
            self.shared.probe.set_legacy_first(true);
            return RunOutcome::Restart;
        }
        RunOutcome::failed(failure)
    }

    /// Returns true if the modern probe may have spoiled a process that did not become ready, so that a fresh one is
    /// worth a try at once, with the legacy handshake first. Some servers refuse `initialize` after any other request.
    fn is_spoiled(&self, order: HandshakeOrder, failure: FailureKind) -> bool {
        match (order, failure) {
            (HandshakeOrder::ProbeFirst, FailureKind::Protocol) => {
                self.shared.probe.set_legacy_first(true);
                true
            }
            // One that says nothing may only be slow. The next start, which is no sooner for it, tries the other order.
            (HandshakeOrder::ProbeFirst | HandshakeOrder::LegacyFirst, FailureKind::Timeout) => {
                self.shared.probe.set_legacy_first(order == HandshakeOrder::ProbeFirst);
                false
            }
            _ => false,
        }
    }

    /// Lets calls through until the process ends or a command comes.
    async fn serve(&mut self, mut process: ServerProcess, ready: Ready) -> RunOutcome {
        let since = Instant::now();
        let version = ready.handshake.as_ref().map(|handshake| handshake.version.clone());
        let restarts = self.restart_count();
        self.shared.channel.set(Phase::Ready(ready.into()));
        (self.shared.report)(Status::Ready, restarts);
        events::ready(
            &self.shared.channel.name,
            self.shared.group.pid(),
            version.as_deref(),
            restarts,
        );
        tokio::select! {
            biased;
            () = process.ended() => {}
            command = self.commands.recv() => return self.handle_command(process, command).await,
        }
        let uptime = since.elapsed();
        // From here on calls wait for the next run; only then do those of this one fail, so that none can slip between.
        self.shared.channel.set(Phase::Starting(None));
        let failure = process.reap(uptime).await;
        process.dispatcher.close(&failure);
        RunOutcome::Failed { failure, uptime }
    }

    /// Ends a process that runs, as `command` says; `None` if the supervisor is gone.
    async fn handle_command(&mut self, mut process: ServerProcess, command: Option<Command>) -> RunOutcome {
        let (phase, drain, deadline, failure, outcome) = match command {
            Some(Command::Restart { drain }) => {
                let failure = Failure::new(FailureKind::Exited, "the server is being restarted, as was asked for");
                self.restarts.reset();
                (self.report_restart(&failure), drain, None, failure, RunOutcome::Restart)
            }
            Some(Command::Stop { drain, deadline }) => {
                (Phase::Down(stopped()), drain, deadline, stopped(), RunOutcome::Stopped)
            }
            None => (
                Phase::Down(stopped()),
                Duration::ZERO,
                None,
                stopped(),
                RunOutcome::Stopped,
            ),
        };
        let reason = match outcome {
            RunOutcome::Restart => "restart",
            _ => "stop",
        };
        self.shared.channel.set(phase);
        let dispatcher = process.dispatcher.clone();
        let stop_now = tokio::select! {
            _ = timeout(drain, dispatcher.idle()) => None,
            () = process.ended() => None,
            command = self.commands.recv() => match command {
                Some(Command::Restart { .. }) => None,
                Some(Command::Stop { deadline, .. }) => Some(deadline),
                None => Some(None),
            },
        };
        dispatcher.close(&failure);
        process.stop(reason, stop_now.unwrap_or(deadline)).await;
        if stop_now.is_some() {
            RunOutcome::Stopped
        } else {
            outcome
        }
    }

    fn report_restart(&self, failure: &Failure) -> Phase {
        let status = Status::Restarting {
            failure: failure.clone(),
        };
        (self.shared.report)(status, self.starts);
        Phase::Starting(Some(failure.clone()))
    }

    /// Reports a failure to callers, the status board and the log. Returns how long to wait before the next start.
    fn after_failure(&mut self, failure: Failure, uptime: Duration) -> Duration {
        let decision = self.restarts.failed(uptime);
        let (server, failures) = (&self.shared.channel.name, self.restarts.failures());
        let restarts = self.restart_count();
        let (failure, delay) = match failure.kind {
            FailureKind::Exited if decision.crash_loop => (self.crash_loop(&failure), decision.delay),
            FailureKind::Exited | FailureKind::Connection if !decision.crash_loop => {
                events::restart_scheduled(server, &failure.message, restarts, failures, decision.delay);
                let status = Status::Restarting {
                    failure: failure.clone(),
                };
                self.shared.channel.set(Phase::Starting(Some(failure)));
                (self.shared.report)(status, restarts);
                return decision.delay;
            }
            // A soon retry will hardly mend anything else.
            _ => (failure, self.restarts.slow_retry()),
        };
        events::failed(server, &failure, restarts, failures, delay);
        let status = Status::Failed {
            failure: failure.clone(),
        };
        self.shared.channel.set(Phase::Down(failure));
        (self.shared.report)(status, restarts);
        delay
    }

    /// Returns how often the server was started again.
    fn restart_count(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    fn crash_loop(&self, last: &Failure) -> Failure {
        let times = self.restarts.failures();
        let ends = format!("the server ended {times} times in a row; last, {}", last.message);
        // Its own words come first: they say most, and a client may show no more than the beginning.
        let message = match last.detail.iter().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{:?}: {ends}", cut(line.trim())),
            None => ends,
        };
        let mut failure = Failure::new(FailureKind::CrashLoop, message)
            .remedy("read its log and correct its arguments or credentials; it is still tried now and then");
        failure.detail.clone_from(&last.detail);
        failure
    }

    /// Adds the last log lines to a failure.
    fn with_log(&self, failure: Failure) -> Failure {
        self.shared.logs.last(10).into_iter().fold(failure, Failure::detail)
    }
}

/// Returns the beginning of a log line, for a message.
fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(LAST_LINE)]
}

/// Waits until a new process can be called.
async fn wait_until_ready(
    shared: &Shared,
    dispatcher: Arc<RpcDispatcher>,
    transport: Transport,
    (order, server_requests): (HandshakeOrder, ServerRequestPolicy),
) -> Result<Ready, Failure> {
    let deadline = Instant::now() + shared.config.start_deadline;
    let handshake = match transport {
        Transport::Http { port } => {
            port::wait_for(port, deadline).await?;
            None
        }
        Transport::Stdio => {
            let handshake = Handshake {
                dispatcher: &dispatcher,
                server_requests,
                probe_patience: shared.config.probe_patience,
                deadline,
            };
            Some(handshake.run(order).await?)
        }
    };
    Ok(Ready { dispatcher, handshake })
}
