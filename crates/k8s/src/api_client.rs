//! A namespace of a cluster, and calls to it: each with a deadline, and few at once.

use std::{fmt, sync::Arc, time::Duration};

use kube::{Api, Client};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::{backoff::Backoff, error::ApiError};

/// How long one attempt of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many calls of one runtime write at once. The API server has its own fairness; this keeps 200 installs that come
/// up together from being one burst.
pub(crate) const MAX_CONCURRENT_CALLS: usize = 8;

/// A namespace, through a client.
#[derive(Clone)]
pub(crate) struct ApiClient {
    pub(crate) kube: Client,
    pub(crate) namespace: String,
    /// How errors name it, such as `context "kind-mcp"`.
    pub(crate) cluster_name: Arc<str>,
    deadline: Duration,
    permits: Arc<Semaphore>,
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
        }
    }

    /// The objects of one kind in this namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Makes a call that may be made twice, until it succeeds, fails for good, or the deadline is over.
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
                ApiError::ServerBusy { retry_after, .. } => retry_after.unwrap_or_default().max(backoff.wait()),
                _ => backoff.wait(),
            };
            if !error.is_transient() || Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Makes a call once.
    pub(crate) async fn call_once<T>(&self, attempt: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        self.once_until(Instant::now() + self.deadline, attempt).await
    }

    async fn once_until<T>(&self, end: Instant, attempt: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        let _permit = self.permits.acquire().await;
        let limit = ATTEMPT_TIMEOUT.min(end.saturating_duration_since(Instant::now()));
        match timeout(limit, attempt).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(ApiError::classify(error, &self.cluster_name)),
            Err(_) => Err(ApiError::timed_out(&self.cluster_name, limit)),
        }
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("title", &self.cluster_name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A delete that finds nothing has done its work.
pub(crate) fn ignore_not_found(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(ApiError::NotFound(_) | ApiError::NamespaceNotFound(_)) => Ok(()),
        other => other,
    }
}
