//! Ownership of a server among several programs, by a Lease.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
};
use portolan_core::{Clock, Failure};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::AttachConfig;
use crate::error::ApiError;

/// Decides which of several programs owns a server: the holder of a Lease in its namespace. Requires the verbs `get`, `create`,
/// `update` and `delete` on `leases` of `coordination.k8s.io`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ownership {
    /// The name of the Lease, equal in all programs.
    pub lease: String,
    /// The identity of this program, different in each, such as the name of its pod.
    pub holder: String,
    /// The labels of the Lease. Default: none.
    pub labels: BTreeMap<String, String>,
    /// How long after its last renewal the Lease expires, and another program takes over. Default: 15 s.
    pub lease_duration: Duration,
    /// The interval of renewals. The holder gives up the server if it could not renew for two thirds of `lease_duration`.
    /// Default: 5 s.
    pub renew_interval: Duration,
}

impl Ownership {
    /// Creates the ownership of the program `holder` by the Lease `lease`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portolan_k8s::attach::Ownership;
    ///
    /// let ownership = Ownership::new("mcp-time", "gateway-1").with_times(Duration::from_secs(30), Duration::from_secs(10));
    /// assert_eq!(ownership.lease, "mcp-time");
    /// ```
    pub fn new(lease: impl Into<String>, holder: impl Into<String>) -> Self {
        Self {
            lease: lease.into(),
            holder: holder.into(),
            labels: BTreeMap::new(),
            lease_duration: Duration::from_secs(15),
            renew_interval: Duration::from_secs(5),
        }
    }

    /// Sets [`labels`](Self::labels).
    #[must_use]
    pub fn with_labels<K: Into<String>, V: Into<String>>(mut self, labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let labels = labels.into_iter().map(|(key, value)| (key.into(), value.into()));
        self.labels = labels.collect();
        self
    }

    /// Sets [`lease_duration`](Self::lease_duration) and [`renew_interval`](Self::renew_interval).
    #[must_use]
    pub fn with_times(mut self, lease_duration: Duration, renew_interval: Duration) -> Self {
        self.lease_duration = lease_duration;
        self.renew_interval = renew_interval;
        self
    }
}

/// The owner of the server.
#[derive(Clone, Debug)]
pub(super) enum LeaseState {
    /// This program holds the Lease.
    Held,
    /// Another program holds the Lease.
    Other(String),
    /// The owner is unknown.
    Unknown(Failure),
}

/// Acquires and renews a Lease.
pub(super) struct LeaseHolder {
    api: Api<Lease>,
    own: Ownership,
    cluster: String,
    clock: Arc<dyn Clock>,
    /// The Lease as this program wrote it last.
    held: Option<Lease>,
    /// The version of another program's Lease, and when it was seen first.
    seen: Option<(Option<String>, Instant)>,
}

impl LeaseHolder {
    pub(super) fn new(client: Client, namespace: &str, own: Ownership, config: &AttachConfig) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            own,
            cluster: config.cluster.clone(),
            clock: config.clock.clone(),
            held: None,
            seen: None,
        }
    }

    /// Acquires the Lease as soon as it is free, and renews it until `over`; then releases it.
    pub(super) async fn hold(mut self, lease_state: watch::Sender<LeaseState>, over: CancellationToken) {
        tokio::select! {
            () = over.cancelled() => {}
            () = self.hold_forever(&lease_state) => {}
        }
        if matches!(*lease_state.borrow(), LeaseState::Held) {
            let _ = timeout(self.own.renew_interval, self.release()).await;
        }
    }

    async fn hold_forever(&mut self, lease_state: &watch::Sender<LeaseState>) {
        let patience = self.own.lease_duration * 2 / 3;
        let mut held_until = None;
        loop {
            let now = Instant::now();
            let limit = held_until.map_or(patience, |until: Instant| until.saturating_duration_since(now));
            let outcome = match timeout(limit.min(patience), self.attempt()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ApiError::timed_out(&self.cluster, limit)),
            };
            match outcome {
                Ok(LeaseState::Held) => {
                    held_until = Some(now + patience);
                    self.set(lease_state, LeaseState::Held);
                }
                Ok(other) => {
                    held_until = None;
                    self.set(lease_state, other);
                }
                // A failed renewal leaves time for another attempt.
                Err(_) if held_until.is_some_and(|until| Instant::now() < until) => {
                    sleep(self.own.renew_interval / 4).await;
                    continue;
                }
                Err(error) => {
                    held_until = None;
                    self.set(lease_state, LeaseState::Unknown(error.to_failure()));
                }
            }
            sleep(self.own.renew_interval).await;
        }
    }

    fn set(&self, lease_state: &watch::Sender<LeaseState>, new: LeaseState) {
        lease_state.send_if_modified(|current| {
            let is_new = match (&*current, &new) {
                (LeaseState::Held, LeaseState::Held) => false,
                (LeaseState::Other(a), LeaseState::Other(b)) => a != b,
                _ => true,
            };
            *current = new;
            is_new
        });
    }

    /// Tries once to acquire or renew the Lease.
    async fn attempt(&mut self) -> Result<LeaseState, ApiError> {
        if let Some(held) = self.held.take() {
            match self.replace(held).await {
                // Another program changed it: read it again.
                Err(ApiError::Conflict(_) | ApiError::NotFound(_)) => {}
                renewed => return renewed,
            }
        }
        let found = self
            .api
            .get_opt(&self.own.lease)
            .await
            .map_err(|error| self.api_error(error))?;
        let Some(lease) = found else {
            let created = self.api.create(&PostParams::default(), &self.claimed(None)).await;
            return self.record_held(created).or_else(conflict_as_other);
        };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        match holder.filter(|holder| !holder.is_empty()) {
            Some(holder) if holder != self.own.holder && !self.is_expired(&lease) => Ok(LeaseState::Other(holder)),
            _ => self.replace(lease).await.or_else(conflict_as_other),
        }
    }

    async fn replace(&mut self, lease: Lease) -> Result<LeaseState, ApiError> {
        let claimed = self.claimed(Some(lease));
        let replaced = self
            .api
            .replace(&self.own.lease, &PostParams::default(), &claimed)
            .await;
        self.record_held(replaced)
    }

    fn record_held(&mut self, written: kube::Result<Lease>) -> Result<LeaseState, ApiError> {
        self.seen = None;
        self.held = Some(written.map_err(|error| self.api_error(error))?);
        Ok(LeaseState::Held)
    }

    /// Returns whether the Lease has expired: its version did not change for its duration, by the clock of this program, because
    /// clocks differ. A renewal time that is far off by any clock counts as expired at once.
    fn is_expired(&mut self, lease: &Lease) -> bool {
        let spec = lease.spec.as_ref();
        let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(self.own.lease_duration);
        if renewed.is_none_or(|renewed| self.clock.now().duration_since(renewed).unsigned_abs() > duration * 4) {
            return true;
        }
        let version = lease.metadata.resource_version.clone();
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= duration,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    /// Returns the Lease with this program as its holder.
    fn claimed(&self, present: Option<Lease>) -> Lease {
        let now = MicroTime(self.clock.now());
        let mut lease = present.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.own.lease.clone()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.extend(self.own.labels.clone());
        let before = lease.spec.take().unwrap_or_default();
        let is_ours = before.holder_identity.as_ref() == Some(&self.own.holder);
        let transitions = before.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.own.holder.clone()),
            acquire_time: before.acquire_time.filter(|_| is_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_duration_seconds: i32::try_from(self.own.lease_duration.as_secs().max(1)).ok(),
            lease_transitions: Some(if is_ours {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..before
        });
        lease
    }

    /// Deletes the Lease, unless another program holds it.
    async fn release(&self) -> kube::Result<()> {
        let Some(lease) = self.api.get_opt(&self.own.lease).await? else {
            return Ok(());
        };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
        if holder != Some(&self.own.holder) {
            return Ok(());
        }
        let as_seen = DeleteParams::default().preconditions(Preconditions {
            resource_version: lease.metadata.resource_version,
            uid: lease.metadata.uid,
        });
        self.api.delete(&self.own.lease, &as_seen).await.map(drop)
    }

    fn api_error(&self, error: kube::Error) -> ApiError {
        ApiError::classify(error, &self.cluster)
    }
}

/// Turns a conflict into the state of another holder: that one was faster.
fn conflict_as_other(error: ApiError) -> Result<LeaseState, ApiError> {
    match error {
        ApiError::Conflict(_) => Ok(LeaseState::Other("another program".into())),
        other => Err(other),
    }
}
