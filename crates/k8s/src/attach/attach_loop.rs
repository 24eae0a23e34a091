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
    lease::{Claim, Standing},
    socket::{End, attach},
};
use crate::error::Fault;

/// The wait after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(10);
/// This many failures in a row, and calls no longer wait.
const DOWN_AFTER: u32 = 5;
/// After being attached for so long, earlier failures are forgotten.
const HEALTHY: Duration = Duration::from_secs(60);

/// The one task that is attached to a server, through all its runs.
pub(super) struct Keeper {
    front: Arc<StdioChannel>,
    client: Client,
    namespace: String,
    config: AttachConfig,
    wishes: Wishes,
    failures: u32,
    /// How many starts of the server were attached to.
    starts: u64,
    known: Option<Known>,
}

/// What is to be attached to, and whether by this program.
#[derive(Clone)]
struct Wishes {
    runs: watch::Receiver<Option<PodRun>>,
    standing: watch::Receiver<Standing>,
}

/// The start of the server that was attached to last.
struct Known {
    run: PodRun,
    /// How it introduced itself, once it has.
    hello: Option<ServerHandshake>,
    /// Its input may end in the middle of a line.
    is_torn: bool,
}

/// Why it is not attached any more.
enum Over {
    /// Something else is to be attached to, or nothing, or by somebody else.
    Changed(Failure),
    /// It failed after it could be called for `healthy`.
    Failed { failure: Failure, healthy: Duration },
}

impl Keeper {
    pub(super) fn new(
        front: Arc<StdioChannel>,
        client: Client,
        namespace: &str,
        config: AttachConfig,
        runs: watch::Receiver<Option<PodRun>>,
    ) -> Self {
        Self {
            front,
            client,
            namespace: namespace.to_owned(),
            config,
            wishes: Wishes {
                runs,
                standing: watch::channel(Standing::Held).1,
            },
            failures: 0,
            starts: 0,
            known: None,
        }
    }

    /// Keeps the server attached until `over`, where there is a claim: as long as that holds.
    pub(super) async fn keep(mut self, claim: Option<Claim>, over: CancellationToken) {
        let front = self.front.clone();
        let holding = claim.map(|claim| {
            let standing = watch::Sender::new(Standing::Unknown(Failure::new(
                FailureKind::Starting,
                "it is not known yet which program owns the server",
            )));
            self.wishes.standing = standing.subscribe();
            tokio::spawn(claim.hold(standing, over.clone()))
        });
        tokio::select! {
            () = over.cancelled() => {}
            () = self.attach_again_and_again() => {}
        }
        front.down(Failure::new(FailureKind::Stopped, "it was stopped"));
        if let Some(holding) = holding {
            // It gives the Lease back.
            let _ = holding.await;
        }
    }

    async fn attach_again_and_again(&mut self) {
        loop {
            let Some(run) = self.next_run().await else { return };
            let wait = match self.attend(run).await {
                Over::Changed(failure) => {
                    self.front.starting(Some(failure));
                    continue;
                }
                Over::Failed { failure, healthy } => self.judge(failure, healthy),
            };
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.wishes.runs.changed() => if changed.is_err() { return },
            }
        }
    }

    /// What to attach to, waiting for it. `None` if nobody will ever say.
    async fn next_run(&mut self) -> Option<PodRun> {
        loop {
            let standing = self.wishes.standing.borrow_and_update().clone();
            let run = self.wishes.runs.borrow_and_update().clone();
            match (standing, run) {
                (Standing::Held, Some(run)) => return Some(run),
                (Standing::Held, None) => {
                    let failure = Failure::new(FailureKind::Starting, "no pod of it runs");
                    self.front.starting(Some(failure));
                }
                (Standing::Other(holder), _) => self.front.down(owned_by(&holder)),
                (Standing::Unknown(failure), _) => self.front.starting(Some(failure)),
            }
            self.wishes.changed().await?;
        }
    }

    /// Is attached to `run` as long as that goes.
    async fn attend(&mut self, run: PodRun) -> Over {
        let mut wishes = self.wishes.clone();
        let attached = tokio::select! {
            attached = attach(&self.client, &self.namespace, &run.pod, &self.config) => attached,
            why = wishes.changed_from(&run) => return Over::Changed(why),
        };
        let (socket, connection) = match attached {
            Ok((socket, output, input)) => match self.open(run.clone(), output, input).await {
                Ok(connection) => (socket, connection),
                Err(failure) => return failed(failure),
            },
            Err(failure) => return failed(failure),
        };
        let introduced = tokio::select! {
            biased;
            () = connection.ended() => Err(socket.end.failure()),
            introduced = self.introduced(&connection) => introduced,
            why = wishes.changed_from(&run) => return Over::Changed(why),
        };
        match introduced {
            Ok(hello) => self.serve(&run, &socket.end, &connection, hello).await,
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
        let is_torn = self
            .known
            .as_ref()
            .is_some_and(|known| known.run == run && known.is_torn);
        if self.known.as_ref().is_some_and(|known| known.run == run) {
            // It may have been started again, and nobody told us yet.
            let present = present(&self.client, &self.namespace, &run.pod, &self.config).await?;
            if present.as_ref() != Some(&run) {
                self.known = None;
            }
        }
        self.meet(run);
        if is_torn && input.write_all(b"\n").await.is_err() {
            return Err(Failure::new(FailureKind::Connection, "its pod hung up"));
        }
        Ok(Connection::open(&self.front, output, input, self.connection()))
    }

    /// Lets callers in until the attachment ends or something else is wished for.
    async fn serve(&mut self, run: &PodRun, end: &End, connection: &Connection, hello: ServerHandshake) -> Over {
        let (since, mut wishes) = (Instant::now(), self.wishes.clone());
        self.front.ready(connection, hello);
        let (failure, is_end) = tokio::select! {
            biased;
            () = connection.ended() => (end.failure(), true),
            why = wishes.changed_from(run) => (why, false),
        };
        // From here on calls wait for what comes next; only then do those of this one fail, so that none slips between.
        self.front.starting(Some(failure.clone()));
        if let Some(known) = &mut self.known {
            known.is_torn = !connection.is_idle();
        }
        connection.close(&failure);
        let healthy = since.elapsed();
        match is_end {
            true => Over::Failed { failure, healthy },
            false => Over::Changed(failure),
        }
    }

    /// Notes that this start of the server is spoken with.
    fn meet(&mut self, run: PodRun) {
        if self.known.as_ref().is_some_and(|known| known.run == run) {
            return;
        }
        self.starts += 1;
        self.known = Some(Known {
            run,
            hello: None,
            is_torn: false,
        });
    }

    /// How the server introduces itself. One that did so before is not asked again.
    async fn introduced(&mut self, connection: &Connection) -> Result<ServerHandshake, Failure> {
        if let Some(hello) = self.known.as_ref().and_then(|known| known.hello.clone()) {
            return Ok(hello);
        }
        let config = &self.config;
        let hello = connection
            .handshake(config.era, config.probe_patience, config.introduction)
            .await;
        let mut hello = hello?;
        hello.generation = self.starts;
        if let Some(known) = &mut self.known {
            known.hello = Some(hello.clone());
        }
        Ok(hello)
    }

    fn connection(&self) -> ConnectionConfig {
        let mut config = ConnectionConfig::new(self.config.limits.clone(), self.config.server_requests);
        config.first_id = first_id();
        config
    }

    /// Tells callers about a failure, and for how long to wait.
    fn judge(&mut self, failure: Failure, healthy: Duration) -> Duration {
        if healthy >= HEALTHY {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let mends = matches!(
            failure.kind,
            FailureKind::Connection | FailureKind::Exited | FailureKind::Timeout
        );
        match mends && self.failures < DOWN_AFTER {
            true => self.front.starting(Some(failure)),
            false => self.front.down(failure),
        }
        FIRST
            .saturating_mul(2u32.saturating_pow(self.failures - 1))
            .min(LONGEST)
    }
}

impl Wishes {
    /// Waits until something else is wished for than was seen last. `None` if nothing ever will be.
    async fn changed(&mut self) -> Option<()> {
        let other_owner = async {
            if self.standing.changed().await.is_err() {
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
                .wait_for(|present| present.as_ref() != Some(run))
                .await
                .is_ok();
            if !other {
                // The channel is gone, and so is this in a moment.
                std::future::pending::<()>().await;
            }
        };
        let other_owner = async {
            let standing = self.standing.wait_for(|standing| !matches!(standing, Standing::Held));
            let standing = standing.await.ok().map(|standing| standing.clone());
            match standing {
                Some(Standing::Other(holder)) => owned_by(&holder),
                Some(Standing::Unknown(failure)) => failure,
                // Nobody claims it against us.
                Some(Standing::Held) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = other_run => Failure::new(FailureKind::Exited, "the server ended: its container was stopped"),
            failure = other_owner => failure,
        }
    }
}

/// The start that there is now.
async fn present(
    client: &Client,
    namespace: &str,
    pod: &str,
    config: &AttachConfig,
) -> Result<Option<PodRun>, Failure> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let found = match timeout(config.connect, api.get_opt(pod)).await {
        Ok(found) => found.map_err(|error| Fault::of(error, &config.cluster)),
        Err(_) => Err(Fault::late(&config.cluster, config.connect)),
    };
    let found = found.map_err(|fault| fault.failure())?;
    Ok(found.and_then(|pod| PodRun::of_one(&pod, config.container.as_deref())))
}

fn owned_by(holder: &str) -> Failure {
    Failure::new(
        FailureKind::Connection,
        format!("{holder:?} is attached to the server, and only one can be"),
    )
    .remedy(format!(
        "call through {holder:?}, or use the bridge, which any number can call"
    ))
}

fn failed(failure: Failure) -> Over {
    Over::Failed {
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
