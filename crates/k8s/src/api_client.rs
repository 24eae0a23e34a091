//! Calls to the API server for one namespace: with deadline, retries, and bounded concurrency.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{Api, Client};
use portolan_core::Backoff;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::{
    error::{ApiError, RUNTIME_RULES},
    events,
};

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many calls of one runtime run at once, so that 200 installs that start together are not one burst.
pub(crate) const MAX_CONCURRENT_CALLS: usize = 8;

/// How long a missing permission is not reported again.
const FORBIDDEN_REPEAT: Duration = Duration::from_secs(300);

/// How many different missing permissions are remembered.
const MAX_FORBIDDEN: usize = 64;

/// A client for one namespace.
pub(crate) struct ApiClient {
    pub(crate) kube: Client,
    pub(crate) namespace: String,
    /// The name of the cluster in errors, such as `context "kind-mcp"`.
    pub(crate) cluster_name: Arc<str>,
    deadline: Duration,
    permits: Arc<Semaphore>,
    /// The file with the rules of the account, which errors name.
    rules_file: &'static str,
    /// The times at which missing permissions were reported.
    forbidden: Mutex<BTreeMap<String, Instant>>,
}

impl ApiClient {
    pub(crate) fn new(
        kube: Client,
        namespace: String,
        cluster_name: Arc<str>,
        deadline: Duration,
        permits: Arc<Semaphore>,
    ) -> Self {
        Self {
            kube,
            namespace,
            cluster_name,
            deadline,
            permits,
            rules_file: RUNTIME_RULES,
            forbidden: Mutex::default(),
        }
    }

    /// Sets the file that errors of missing permissions name.
    pub(crate) fn with_rules_file(mut self, file: &'static str) -> Self {
        self.rules_file = file;
        self
    }

    /// The deadline of a call, with all retries.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Returns the API of one kind of objects.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Makes an idempotent call, with retries until the deadline.
    ///
    /// # Errors
    ///
    /// The last error, once it is permanent or the deadline has passed.
    pub(crate) async fn call<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let end = Instant::now() + self.deadline;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        loop {
            let error = match self.once_until(end, attempt()).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let wait = match &error {
                ApiError::ServerBusy { retry_after, .. } => retry_after.unwrap_or_default().max(backoff.next_delay()),
                _ => backoff.next_delay(),
            };
            if !error.is_transient() || Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Makes a call without retries.
    ///
    /// # Errors
    ///
    /// The error of the call; `Unreachable` after the timeout.
    pub(crate) async fn call_once<T>(&self, attempt: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        self.once_until(Instant::now() + self.deadline, attempt).await
    }

    async fn once_until<T>(&self, end: Instant, attempt: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        let _permit = self.permits.acquire().await;
        let limit = ATTEMPT_TIMEOUT.min(end.saturating_duration_since(Instant::now()));
        match timeout(limit, attempt).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let error = ApiError::classify(error, &self.cluster_name).with_rules_file(self.rules_file);
                self.report_forbidden(&error);
                Err(error)
            }
            Err(_) => Err(ApiError::timed_out(&self.cluster_name, limit)),
        }
    }

    /// Reports a missing permission, each at most once in a while.
    fn report_forbidden(&self, error: &ApiError) {
        let ApiError::Forbidden(forbidden) = error else { return };
        let (reason, now) = (forbidden.to_string(), Instant::now());
        let mut reported = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        if reported
            .get(&reason)
            .is_some_and(|at| now.duration_since(*at) < FORBIDDEN_REPEAT)
        {
            return;
        }
        if reported.len() >= MAX_FORBIDDEN {
            reported.clear();
        }
        events::forbidden(&self.namespace, &reason);
        reported.insert(reason, now);
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient")
            .field("cluster_name", &self.cluster_name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Turns a missing object into success, for deletes.
pub(crate) fn ignore_not_found(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(ApiError::NotFound(_) | ApiError::NamespaceNotFound(_)) => Ok(()),
        other => other,
    }
}
