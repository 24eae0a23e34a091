//! Attaches again and again, to whatever runs.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use portolan_core::{Failure, FailureKind, ServerHandshake};
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

/// The wait after the first failure; it doubles with each further one.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The longest wait.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);
/// This many failures in a row, and calls no longer wait.
const DOWN_AFTER: u32 = 5;
/// After being attached for so long, earlier failures are forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The one task that is attached to a server, through all its runs.
pub(super) struct AttachLoop {
    channel: Arc<StdioChannel>,
    client: Client,
    namespace: String,
    config: AttachConfig,
    target: AttachTarget,
    failures: u32,
    /// How many starts of the server were attached to.
    starts: u64,
    attached: Option<AttachedRun>,
}

/// What is to be attached to, and whether by this program.
#[derive(Clone)]
struct AttachTarget {
    runs: watch::Receiver<Option<PodRun>>,
    lease_state: watch::Receiver<LeaseState>,
}

/// The start of the server that was attached to last.
struct AttachedRun {
    run: PodRun,
    /// How it introduced itself, once it has.
    handshake: Option<ServerHandshake>,
    /// Its input may end in the middle of a line.
    is_line_incomplete: bool,
}

/// Why it is not attached any more.
enum Detached {
    /// Something else is to be attached to, or nothing, or by somebody else.
    Changed(Failure),
    /// It failed after it could be called for `healthy`.
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
            failures: 0,
            starts: 0,
            attached: None,
        }
    }

    /// Keeps the server attached until `over`, where there is a claim: as long as that holds.
    pub(super) async fn keep(mut self, lease_holder: Option<LeaseHolder>, over: CancellationToken) {
        let channel = self.channel.clone();
        let holding = lease_holder.map(|lease_holder| {
            let lease_state = watch::Sender::new(LeaseState::Unknown(Failure::new(
                FailureKind::Starting,
                "it is not known yet which program owns the server",
            )));
            self.target.lease_state = lease_state.subscribe();
            tokio::spawn(lease_holder.hold(lease_state, over.clone()))
        });
        tokio::select! {
            () = over.cancelled() => {}
            () = self.run_forever() => {}
        }
        channel.down(Failure::new(FailureKind::Stopped, "it was stopped"));
        if let Some(holding) = holding {
            // It gives the Lease back.
            let _ = holding.await;
        }
    }

    async fn run_forever(&mut self) {
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

    /// What to attach to, waiting for it. `None` if nobody will ever say.
    async fn next_run(&mut self) -> Option<PodRun> {
        loop {
            let lease_state = self.target.lease_state.borrow_and_update().clone();
            let run = self.target.runs.borrow_and_update().clone();
            match (lease_state, run) {
                (LeaseState::Held, Some(run)) => return Some(run),
                (LeaseState::Held, None) => {
                    let failure = Failure::new(FailureKind::Starting, "no pod of it runs");
                    self.channel.starting(Some(failure));
                }
                (LeaseState::Other(holder), _) => self.channel.down(owned_by_other(&holder)),
                (LeaseState::Unknown(failure), _) => self.channel.starting(Some(failure)),
            }
            self.target.changed().await?;
        }
    }

    /// Is attached to `run` as long as that goes.
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

    /// Begins to speak through an attachment.
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
            // It may have been started again, and nobody told us yet.
            let current_run = current_run(&self.client, &self.namespace, &run.pod, &self.config).await?;
            if current_run.as_ref() != Some(&run) {
                self.attached = None;
            }
        }
        self.begin_run(run);
        if is_line_incomplete && input.write_all(b"\n").await.is_err() {
            return Err(Failure::new(FailureKind::Connection, "its pod hung up"));
        }
        Ok(Connection::open(&self.channel, output, input, self.connection()))
    }

    /// Lets callers in until the attachment ends or something else is wished for.
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
        // From here on calls wait for what comes next; only then do those of this one fail, so that none slips between.
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

    /// Notes that this start of the server is spoken with.
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

    /// How the server introduces itself. One that did so before is not asked again.
    async fn handshake_once(&mut self, connection: &Connection) -> Result<ServerHandshake, Failure> {
        if let Some(handshake) = self.attached.as_ref().and_then(|attached| attached.handshake.clone()) {
            return Ok(handshake);
        }
        let config = &self.config;
        let handshake = connection
            .handshake(config.era, config.probe_patience, config.introduction)
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

    /// Tells callers about a failure, and for how long to wait.
    fn report_failure(&mut self, failure: Failure, healthy: Duration) -> Duration {
        if healthy >= HEALTHY_AFTER {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let mends = matches!(
            failure.kind,
            FailureKind::Connection | FailureKind::Exited | FailureKind::Timeout
        );
        match mends && self.failures < DOWN_AFTER {
            true => self.channel.starting(Some(failure)),
            false => self.channel.down(failure),
        }
        FIRST_RETRY_DELAY
            .saturating_mul(2u32.saturating_pow(self.failures - 1))
            .min(MAX_RETRY_DELAY)
    }
}

impl AttachTarget {
    /// Waits until something else is wished for than was seen last. `None` if nothing ever will be.
    async fn changed(&mut self) -> Option<()> {
        let other_owner = async {
            if self.lease_state.changed().await.is_err() {
                // Nobody claims it against us.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            changed = self.runs.changed() => changed.ok(),
            () = other_owner => Some(()),
        }
    }

    /// Waits until `run` is not what this program is to be attached to. Tells why.
    async fn changed_from(&mut self, run: &PodRun) -> Failure {
        let other_run = async {
            let other = self
                .runs
                .wait_for(|current_run| current_run.as_ref() != Some(run))
                .await
                .is_ok();
            if !other {
                // The channel is gone, and so is this in a moment.
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
                // Nobody claims it against us.
                Some(LeaseState::Held) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = other_run => Failure::new(FailureKind::Exited, "the server ended: its container was stopped"),
            failure = other_owner => failure,
        }
    }
}

/// The start that there is now.
async fn current_run(
    client: &Client,
    namespace: &str,
    pod: &str,
    config: &AttachConfig,
) -> Result<Option<PodRun>, Failure> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let found = match timeout(config.connect, api.get_opt(pod)).await {
        Ok(found) => found.map_err(|error| ApiError::classify(error, &config.cluster)),
        Err(_) => Err(ApiError::timed_out(&config.cluster, config.connect)),
    };
    let found = found.map_err(|error| error.to_failure())?;
    Ok(found.and_then(|pod| PodRun::of_container_or_only(&pod, config.container.as_deref())))
}

fn owned_by_other(holder: &str) -> Failure {
    Failure::new(
        FailureKind::Connection,
        format!("{holder:?} is attached to the server, and only one can be"),
    )
    .remedy(format!(
        "call through {holder:?}, or use the bridge, which any number can call"
    ))
}

fn failed(failure: Failure) -> Detached {
    Detached::Failed {
        failure,
        healthy: Duration::ZERO,
    }
}

/// Far from where an earlier attachment was, so that answers that come late meet nobody. JSON numbers are exact up to
/// 2^53.
fn first_id() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => (u64::from_be_bytes(bytes) >> 13) + 1,
        Err(_) => 1,
    }
}
