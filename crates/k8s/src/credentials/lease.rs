//! Leases on keys, as Lease objects.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease as KubeLease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::api::{DeleteParams, PostParams, Preconditions};
use portolan_core::{Backoff, Clock, CredentialKey, Error, Lease, Result};
use tokio::time::{Instant, sleep};

use super::{
    object::{self, Names},
    write::{failed, foreign, gave_up},
};
use crate::{
    annotations,
    api_client::{ApiClient, ignore_not_found},
    error::ApiError,
};

/// The annotation with the time to live in milliseconds: the spec has seconds.
const TTL: &str = "portolan.dev/lease-ttl-ms";

/// How many leases of others are observed. When there are more, their clocks decide.
const MAX_OBSERVED: usize = 4096;

/// Takes and releases leases.
///
/// The fence is the resource version of the Lease as its holder wrote it. The API server counts all writes of a cluster by one
/// counter, so it grows over take-overs, and over removals of the object too.
///
/// A lease of another holder has ended `ttl` plus the allowed clock skew after the time that its holder wrote, or once it did
/// not change for `ttl` since this program saw it first, which needs no agreement of clocks.
pub(super) struct Leases {
    clock: Arc<dyn Clock>,
    clock_skew: Duration,
    /// The Leases of others by name, with their resource version and the time at which it was seen first.
    observed: Mutex<BTreeMap<String, (Option<String>, Instant)>>,
}

impl Leases {
    pub(super) fn new(clock: Arc<dyn Clock>, clock_skew: Duration) -> Self {
        Self {
            clock,
            clock_skew,
            observed: Mutex::default(),
        }
    }

    /// Takes the lease on `key`; `None` while somebody else holds it.
    ///
    /// # Errors
    ///
    /// As [`CredentialStore::lease`](portolan_core::CredentialStore::lease).
    pub(super) async fn take(
        &self,
        client: &ApiClient,
        names: &Names,
        key: &CredentialKey,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let (api, name) = (client.api::<KubeLease>(), names.object(key));
        let action = || format!("lease the credential {:?}", key.as_str());
        let holder = object::nonce()?;
        let end = Instant::now() + client.deadline();
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
        loop {
            let found = client.call(|| api.get_opt(&name)).await;
            let found = found.map_err(|error| failed(error, action()))?;
            match &found {
                Some(lease) if !names.owns(&lease.metadata, key) => return Err(foreign("Lease", client, names, key)),
                // An earlier attempt was not answered, but applied.
                Some(lease) if holder_of(lease) == Some(&holder) => return given(key, lease).map(Some),
                Some(lease) if self.is_held(&name, lease) => return Ok(None),
                Some(_) | None => {}
            }
            let claim = self.claim(names, key, found, &holder, ttl);
            let params = PostParams::default();
            let written = if claim.metadata.resource_version.is_some() {
                client.call_once(api.replace(&name, &params, &claim)).await
            } else {
                client.call_once(api.create(&params, &claim)).await
            };
            let error = match written {
                Ok(lease) => {
                    self.observed().remove(&name);
                    return given(key, &lease).map(Some);
                }
                Err(error) => error,
            };
            let is_lost = matches!(error, ApiError::Conflict(_) | ApiError::NotFound(_));
            if !is_lost && !error.is_transient() {
                return Err(failed(error, action()));
            }
            let wait = backoff.next_delay();
            if Instant::now() + wait >= end {
                return Err(gave_up(error, key, client.deadline()));
            }
            sleep(wait).await;
        }
    }

    /// Ends a lease, if it is still the one on its key.
    ///
    /// # Errors
    ///
    /// As [`CredentialStore::release`](portolan_core::CredentialStore::release).
    pub(super) async fn release(&self, client: &ApiClient, names: &Names, lease: &Lease) -> Result<()> {
        let (api, name) = (client.api::<KubeLease>(), names.object(&lease.key));
        let action = || format!("release the credential {:?}", lease.key.as_str());
        let found = client.call(|| api.get_opt(&name)).await;
        let found = found.map_err(|error| failed(error, action()))?;
        let Some(meta) = found.map(|found| found.metadata) else {
            return Ok(());
        };
        let is_same = meta.resource_version.as_deref() == Some(lease.fence.to_string().as_str());
        if !is_same || !names.owns(&meta, &lease.key) {
            return Ok(());
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: meta.uid,
                resource_version: meta.resource_version,
            }),
            ..DeleteParams::default()
        };
        let deleted = client.call(async || api.delete(&name, &params).await.map(drop)).await;
        match ignore_not_found(deleted) {
            // Another holder has it already.
            Err(ApiError::Conflict(_)) | Ok(()) => Ok(()),
            Err(error) => Err(failed(error, action())),
        }
    }

    /// Returns whether the holder of `lease` may still hold it.
    fn is_held(&self, name: &str, lease: &KubeLease) -> bool {
        let Some(spec) = lease.spec.as_ref().filter(|_| holder_of(lease).is_some()) else {
            return false;
        };
        let ttl = ttl_of(lease, spec);
        let began = spec.acquire_time.as_ref().map(|time| time.0);
        let age = began.map(|began| self.clock.now().duration_since(began));
        let age = age.and_then(|age| Duration::try_from(age).ok());
        if age.is_some_and(|age| age > ttl.saturating_add(self.clock_skew)) {
            return false;
        }
        let version = &lease.metadata.resource_version;
        let mut observed = self.observed();
        match observed.get(name) {
            Some((seen, since)) if seen == version => since.elapsed() <= ttl,
            _ => {
                if observed.len() >= MAX_OBSERVED {
                    observed.clear();
                }
                observed.insert(name.to_owned(), (version.clone(), Instant::now()));
                true
            }
        }
    }

    /// Returns the Lease with `holder` as its holder.
    fn claim(
        &self,
        names: &Names,
        key: &CredentialKey,
        found: Option<KubeLease>,
        holder: &str,
        ttl: Duration,
    ) -> KubeLease {
        let mut lease = found.unwrap_or_else(|| KubeLease {
            metadata: names.metadata(key),
            ..KubeLease::default()
        });
        lease.metadata.managed_fields = None;
        let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let notes = lease.metadata.annotations.get_or_insert_default();
        notes.insert(TTL.into(), milliseconds.to_string());
        let before = lease.spec.take().unwrap_or_default();
        let now = MicroTime(self.clock.now());
        let seconds = milliseconds.div_ceil(1000).max(1);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(1)),
            ..LeaseSpec::default()
        });
        lease
    }

    fn observed(&self) -> MutexGuard<'_, BTreeMap<String, (Option<String>, Instant)>> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("clock_skew", &self.clock_skew)
            .finish_non_exhaustive()
    }
}

fn holder_of(lease: &KubeLease) -> Option<&String> {
    let holder = lease.spec.as_ref()?.holder_identity.as_ref()?;
    (!holder.is_empty()).then_some(holder)
}

fn ttl_of(lease: &KubeLease, spec: &LeaseSpec) -> Duration {
    let exact = annotations::annotation(&lease.metadata, TTL).and_then(|text| text.parse().ok());
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    exact.map_or_else(|| Duration::from_secs(seconds.unwrap_or(0)), Duration::from_millis)
}

/// Returns the lease that its holder gets.
fn given(key: &CredentialKey, lease: &KubeLease) -> Result<Lease> {
    let version = lease.metadata.resource_version.as_deref();
    let fence = version.and_then(|version| version.parse().ok()).ok_or_else(|| {
        let action = format!("lease the credential {:?}", key.as_str());
        Error::backend(
            "Kubernetes",
            action,
            format!("the resource version {version:?} is not a number"),
        )
    })?;
    let key = key.clone();
    Ok(Lease { key, fence })
}
