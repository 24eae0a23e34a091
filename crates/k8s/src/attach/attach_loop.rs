//! The task that attaches to a server, through all its runs.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use portolan_core::{Backoff, Failure, FailureKind, ServerHandshake};
use portolan_process::{Connection, ConnectionConfig, StdioChannel};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    AttachConfig, PodRun,
    lease::{LeaseHolder, LeaseState},
    socket::{ConnectionEnd, attach},
};
use crate::error::ApiError;

/// The delay after the first failure.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);
/// After this many failures in a row, calls fail instead of waiting.
const DOWN_AFTER: u32 = 5;
/// How long an attachment must last to forget earlier failures.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The task that attaches to a server, through all its runs.
pub(super) struct AttachLoop {
    channel: Arc<StdioChannel>,
    client: Client,
    namespace: String,
    config: AttachConfig,
    target: AttachTarget,
    backoff: Backoff,
    /// How many runs of the server were attached to.
    starts: u64,
    attached: Option<AttachedRun>,
}

/// The run to attach to, and whether this program may.
#[derive(Clone)]
struct AttachTarget {
    runs: watch::Receiver<Option<PodRun>>,
    lease_state: watch::Receiver<LeaseState>,
}

/// The run that was attached to last.
struct AttachedRun {
    run: PodRun,
    /// The result of the handshake, once done.
    handshake: Option<ServerHandshake>,
    /// Whether its input may end in the middle of a line.
    is_line_incomplete: bool,
}

/// Why an attachment ended.
enum Detached {
    /// The run or the owner changed.
    Changed(Failure),
    /// It failed after it was ready for `healthy`.
    Failed { failure: Failure, healthy: Duration },
}

impl AttachLoop {
    pub(super) fn new(
        channel: Arc<StdioChannel>,
        client: Client,
        namespace: &str,
        config: AttachConfig,
        runs: watch::Receiver<Option<PodRun>>,
    ) -> Self {
        Self {
            channel,
            client,
            namespace: namespace.to_owned(),
            config,
            target: AttachTarget {
                runs,
                lease_state: watch::channel(LeaseState::Held).1,
            },
            backoff: Backoff::new(FIRST_RETRY_DELAY, MAX_RETRY_DELAY),
            starts: 0,
            attached: None,
        }
    }

    /// Attaches until `over`; with a Lease, only while this program holds it.
    pub(super) async fn run(mut self, lease_holder: Option<LeaseHolder>, over: CancellationToken) {
        let channel = self.channel.clone();
        let holding = lease_holder.map(|lease_holder| {
            let lease_state = watch::Sender::new(LeaseState::Unknown(Failure::new(
                FailureKind::Starting,
                "the owner of the server is not known yet",
            )));
            self.target.lease_state = lease_state.subscribe();
            tokio::spawn(lease_holder.hold(lease_state, over.clone()))
        });
        tokio::select! {
            () = over.cancelled() => {}
            () = self.attach_forever() => {}
        }
        channel.down(Failure::new(FailureKind::Stopped, "it was stopped"));
        if let Some(holding) = holding {
            // Releases the Lease.
            let _ = holding.await;
        }
    }

    async fn attach_forever(&mut self) {
        loop {
            let Some(run) = self.next_run().await else { return };
            let wait = match self.run_attached(run).await {
                Detached::Changed(failure) => {
                    self.channel.starting(Some(failure));
                    continue;
                }
                Detached::Failed { failure, healthy } => self.report_failure(failure, healthy),
            };
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.target.runs.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Waits for a run that this program may attach to. `None` if the channel was dropped.
    async fn next_run(&mut self) -> Option<PodRun> {
        loop {
            let lease_state = self.target.lease_state.borrow_and_update().clone();
            let run = self.target.runs.borrow_and_update().clone();
            match (lease_state, run) {
                (LeaseState::Held, Some(run)) => return Some(run),
                (LeaseState::Held, None) => {
                    let failure = Failure::new(FailureKind::Starting, "it has no running pod");
                    self.channel.starting(Some(failure));
                }
                (LeaseState::Other(holder), _) => self.channel.down(owned_by_other(&holder)),
                (LeaseState::Unknown(failure), _) => self.channel.starting(Some(failure)),
            }
            self.target.changed().await?;
        }
    }

    /// Attaches to `run` until the attachment ends.
    async fn run_attached(&mut self, run: PodRun) -> Detached {
        let mut target = self.target.clone();
        let attached = tokio::select! {
            attached = attach(&self.client, &self.namespace, &run.pod, &self.config) => attached,
            why = target.changed_from(&run) => return Detached::Changed(why),
        };
        let (socket, connection) = match attached {
            Ok((socket, output, input)) => match self.open(run.clone(), output, input).await {
                Ok(connection) => (socket, connection),
                Err(failure) => return failed(failure),
            },
            Err(failure) => return failed(failure),
        };
        let handshake_once = tokio::select! {
            biased;
            () = connection.ended() => Err(socket.end.failure()),
            handshake_once = self.handshake_once(&connection) => handshake_once,
            why = target.changed_from(&run) => return Detached::Changed(why),
        };
        match handshake_once {
            Ok(handshake) => self.serve(&run, &socket.end, &connection, handshake).await,
            Err(failure) => failed(failure),
        }
    }

    /// Opens the connection of an attachment.
    async fn open(
        &mut self,
        run: PodRun,
        output: DuplexStream,
        mut input: DuplexStream,
    ) -> Result<Connection, Failure> {
        let is_line_incomplete = self
            .attached
            .as_ref()
            .is_some_and(|attached| attached.run == run && attached.is_line_incomplete);
        if self.attached.as_ref().is_some_and(|attached| attached.run == run) {
            // The container may have been restarted without a notification yet.
            let current_run = current_run(&self.client, &self.namespace, &run.pod, &self.config).await?;
            if current_run.as_ref() != Some(&run) {
                self.attached = None;
            }
        }
        self.begin_run(run);
        if is_line_incomplete && input.write_all(b"\n").await.is_err() {
            return Err(Failure::new(FailureKind::Connection, "its pod closed the connection"));
        }
        Ok(Connection::open(&self.channel, output, input, self.connection()))
    }

    /// Serves calls until the attachment ends or the target changes.
    async fn serve(
        &mut self,
        run: &PodRun,
        end: &ConnectionEnd,
        connection: &Connection,
        handshake: ServerHandshake,
    ) -> Detached {
        let (since, mut target) = (Instant::now(), self.target.clone());
        self.channel.ready(connection, handshake);
        let (failure, is_end) = tokio::select! {
            biased;
            () = connection.ended() => (end.failure(), true),
            why = target.changed_from(run) => (why, false),
        };
        // New calls wait for the next attachment before those of this one fail, so that no call is lost in between.
        self.channel.starting(Some(failure.clone()));
        if let Some(attached) = &mut self.attached {
            attached.is_line_incomplete = !connection.is_idle();
        }
        connection.close(&failure);
        let healthy = since.elapsed();
        match is_end {
            true => Detached::Failed { failure, healthy },
            false => Detached::Changed(failure),
        }
    }

    /// Records that this run is attached to.
    fn begin_run(&mut self, run: PodRun) {
        if self.attached.as_ref().is_some_and(|attached| attached.run == run) {
            return;
        }
        self.starts += 1;
        self.attached = Some(AttachedRun {
            run,
            handshake: None,
            is_line_incomplete: false,
        });
    }

    /// Returns the result of the handshake, which is done once for each run.
    async fn handshake_once(&mut self, connection: &Connection) -> Result<ServerHandshake, Failure> {
        if let Some(handshake) = self.attached.as_ref().and_then(|attached| attached.handshake.clone()) {
            return Ok(handshake);
        }
        let config = &self.config;
        let handshake = connection
            .handshake(config.era, config.probe_patience, config.handshake_timeout)
            .await;
        let mut handshake = handshake?;
        handshake.generation = self.starts;
        if let Some(attached) = &mut self.attached {
            attached.handshake = Some(handshake.clone());
        }
        Ok(handshake)
    }

    fn connection(&self) -> ConnectionConfig {
        let mut config = ConnectionConfig::new(self.config.limits.clone(), self.config.server_requests);
        config.first_id = first_id();
        config
    }

    /// Publishes a failure to callers, and returns the delay before the next attempt.
    fn report_failure(&mut self, failure: Failure, healthy: Duration) -> Duration {
        if healthy >= HEALTHY_AFTER {
            self.backoff.reset();
        }
        let delay = self.backoff.next_delay();
        let is_transient = matches!(
            failure.kind,
            FailureKind::Connection | FailureKind::Exited | FailureKind::Timeout
        );
        match is_transient && self.backoff.failures() < DOWN_AFTER {
            true => self.channel.starting(Some(failure)),
            false => self.channel.down(failure),
        }
        delay
    }
}

impl AttachTarget {
    /// Waits for a change of run or owner. `None` if the channel was dropped.
    async fn changed(&mut self) -> Option<()> {
        let other_owner = async {
            if self.lease_state.changed().await.is_err() {
                // There is no Lease.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            changed = self.runs.changed() => changed.ok(),
            () = other_owner => Some(()),
        }
    }

    /// Waits until this program has to detach from `run`, and returns why.
    async fn changed_from(&mut self, run: &PodRun) -> Failure {
        let other_run = async {
            let other = self
                .runs
                .wait_for(|current_run| current_run.as_ref() != Some(run))
                .await
                .is_ok();
            if !other {
                // The channel was dropped, and this task ends soon.
                std::future::pending::<()>().await;
            }
        };
        let other_owner = async {
            let lease_state = self
                .lease_state
                .wait_for(|lease_state| !matches!(lease_state, LeaseState::Held));
            let lease_state = lease_state.await.ok().map(|lease_state| lease_state.clone());
            match lease_state {
                Some(LeaseState::Other(holder)) => owned_by_other(&holder),
                Some(LeaseState::Unknown(failure)) => failure,
                // There is no Lease.
                Some(LeaseState::Held) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = other_run => Failure::new(FailureKind::Exited, "the server ended: its container was stopped"),
            failure = other_owner => failure,
        }
    }
}

/// Reads the present run of the container.
async fn current_run(
    client: &Client,
    namespace: &str,
    pod: &str,
    config: &AttachConfig,
) -> Result<Option<PodRun>, Failure> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let found = match timeout(config.connect_timeout, api.get_opt(pod)).await {
        Ok(found) => found.map_err(|error| ApiError::classify(error, &config.cluster)),
        Err(_) => Err(ApiError::timed_out(&config.cluster, config.connect_timeout)),
    };
    let found = found.map_err(|error| error.to_failure())?;
    Ok(found.and_then(|pod| PodRun::of_container_or_only(&pod, config.container.as_deref())))
}

fn owned_by_other(holder: &str) -> Failure {
    Failure::new(
        FailureKind::Connection,
        format!("{holder:?} is attached to the server; only one program can be"),
    )
    .remedy(format!(
        "call through {holder:?}, or use the bridge, which serves any number of programs"
    ))
}

fn failed(failure: Failure) -> Detached {
    Detached::Failed {
        failure,
        healthy: Duration::ZERO,
    }
}

/// Returns a random first request id, so that late responses to an earlier attachment match no request. JSON numbers are exact
/// up to 2^53.
fn first_id() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => (u64::from_be_bytes(bytes) >> 13) + 1,
        Err(_) => 1,
    }
}
