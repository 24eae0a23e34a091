//! The lifecycle of the bridge: start, serve, drain, stop.

use std::{io, os::unix::process::ExitStatusExt, process::ExitCode, sync::Arc, time::Duration};

use futures_util::StreamExt;
use portolan_core::{Failure, FailureKind, LogQuery, Status};
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::task::TaskTracker;

use super::{args::BridgeConfig, listener, service::Bridge, stderr::eprint_line};
use crate::{StdioServer, channel::Phase};

/// How often idle sessions are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long the last log lines of the server may take to be written.
const LOG_FLUSH: Duration = Duration::from_secs(1);
/// What a pod's grace period leaves for the end of the server after the drain, which is 5 s shorter.
const SERVER_END: Duration = Duration::from_millis(4500);

/// Serves until a signal ends it, or the server cannot be kept running.
pub(super) fn run(config: BridgeConfig) -> ExitCode {
    // The server runs as the same user: it must not read the token from the bridge's environment in /proc.
    let hidden = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if config.token.is_some() && hidden.is_err() {
        eprint_line("the token cannot be hidden from the server");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(config)));
    served.unwrap_or_else(|error| {
        eprint_line(&error.to_string());
        ExitCode::from(71)
    })
}

async fn serve(config: BridgeConfig) -> io::Result<ExitCode> {
    // First of all, so that no signal kills it.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = bind(config.port).await?;
    let failed = watch::Sender::new(None);
    let report = failed.clone();
    let name = config.command.program.clone();
    let server = StdioServer::start_reporting(
        &name,
        config.command,
        &config.process,
        Box::new(move |status, _| {
            if let Status::Failed { failure } = status {
                report.send_replace(Some(failure));
            }
        }),
    );
    let lines = copy_log(&server);
    let bridge = Arc::new(Bridge::new(server.clone(), config.path, config.token, config.timeout));
    let connections = TaskTracker::new();
    let housekeeping = tokio::spawn(run_housekeeping(bridge.clone()));
    let accepting = tokio::spawn(listener::accept(listener, bridge.clone(), connections.clone()));
    let mut failed = failed.subscribe();
    let mut deadline = None;
    let code = tokio::select! {
        failure = failed.wait_for(Option::is_some) => end(&server, failure.ok().and_then(|failure| failure.clone())),
        () = termination_signal(&mut term, &mut int) => {
            eprint_line("stopping: calls under way may finish");
            deadline = Some(Instant::now() + config.drain + SERVER_END);
            drain(&bridge, &connections, config.drain, &mut term, &mut int).await;
            ExitCode::SUCCESS
        }
    };
    server.supervisor.stop_by(Duration::ZERO, deadline).await;
    server.supervisor.shared.logs.close();
    let _ = timeout(LOG_FLUSH, lines).await;
    accepting.abort();
    housekeeping.abort();
    Ok(code)
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    let bound = listener::bind(port).await;
    let listener =
        bound.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on port {port}: {error}")))?;
    eprint_line(&format!("listening on port {}", listener.local_addr()?.port()));
    Ok(listener)
}

async fn termination_signal(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Waits until calls under way have finished and their responses are sent. A second signal ends the wait.
async fn drain(bridge: &Bridge, connections: &TaskTracker, limit: Duration, term: &mut Signal, int: &mut Signal) {
    bridge.shutdown.cancel();
    bridge.calls.close();
    connections.close();
    let finished = async {
        bridge.calls.wait().await;
        connections.wait().await;
    };
    tokio::select! {
        over = timeout(limit, finished) => if over.is_err() {
            eprint_line("calls under way took too long and are given up");
        },
        () = termination_signal(term, int) => {}
    }
}

/// Reports why the server cannot be kept running, and returns the matching exit code.
fn end(server: &StdioServer, failure: Option<Failure>) -> ExitCode {
    let Some(failure) = failure else {
        return ExitCode::FAILURE;
    };
    eprint_line(&failure.message);
    if let Some(remedy) = &failure.remedy {
        eprint_line(remedy);
    }
    let exit = server.supervisor.shared.exit();
    let code = match failure.kind {
        FailureKind::CrashLoop | FailureKind::Exited => {
            exit.and_then(|exit| exit.code().or_else(|| exit.signal().map(|signal| 128 + signal)))
        }
        FailureKind::Image => Some(127),
        FailureKind::Start => Some(126),
        FailureKind::Config => Some(78),
        _ => Some(70),
    };
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Copies the server's log to the bridge's standard error. Lines that cannot be written in time are dropped, so that the
/// server never waits.
fn copy_log(server: &StdioServer) -> JoinHandle<()> {
    let query = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut lines = server.logs(&query).ready_chunks(256);
    tokio::spawn(async move {
        let mut stderr = tokio::io::stderr();
        while let Some(lines) = lines.next().await {
            let mut text = String::new();
            for line in lines.into_iter().flatten() {
                text.push_str(&line.text);
                text.push('\n');
            }
            let written = stderr.write_all(text.as_bytes()).await;
            if written.and(stderr.flush().await).is_err() {
                return;
            }
        }
    })
}

/// Ends idle sessions, and restores subscriptions and log level of a server that was restarted.
async fn run_housekeeping(bridge: Arc<Bridge>) {
    let mut phases = bridge.phases();
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut starts = 0u32;
    loop {
        tokio::select! {
            _ = sweep.tick() => bridge.unsubscribe(bridge.sessions.sweep()),
            changed = phases.changed() => {
                if changed.is_err() {
                    return;
                }
                let is_ready = matches!(&*phases.borrow_and_update(), Phase::Ready(_));
                if is_ready {
                    starts = starts.saturating_add(1);
                    eprint_line(if starts == 1 { "the server is ready" } else { "the server is ready again" });
                }
                if is_ready && starts > 1 {
                    bridge.resend_state();
                }
            }
        }
    }
}
