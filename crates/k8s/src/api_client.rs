//! A namespace of a cluster, and calls to it: each with a deadline, and few at once.

use std::{fmt, sync::Arc, time::Duration};

use kube::{Api, Client};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::{backoff::Pace, error::Fault};

/// How long one attempt of a call may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How many calls of one runtime write at once. The API server has its own fairness; this keeps 200 installs that come
/// up together from being one burst.
pub(crate) const AT_ONCE: usize = 8;

/// A namespace, through a client.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// How errors name it, such as `context "kind-mcp"`.
    pub(crate) title: Arc<str>,
    deadline: Duration,
    permits: Arc<Semaphore>,
}

impl Cluster {
    pub(crate) fn new(
        client: Client,
        namespace: String,
        title: Arc<str>,
        deadline: Duration,
        permits: Arc<Semaphore>,
    ) -> Self {
        Self {
            client,
            namespace,
            title,
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
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a call that may be made twice, until it succeeds, fails for good, or the deadline is over.
    pub(crate) async fn call<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let end = Instant::now() + self.deadline;
        let mut pace = Pace::new(Duration::from_millis(100), Duration::from_secs(3));
        loop {
            let fault = match self.once_until(end, attempt()).await {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            let wait = match &fault {
                Fault::Busy { retry_after, .. } => retry_after.unwrap_or_default().max(pace.wait()),
                _ => pace.wait(),
            };
            if !fault.is_passing() || Instant::now() + wait >= end {
                return Err(fault);
            }
            sleep(wait).await;
        }
    }

    /// Makes a call once.
    pub(crate) async fn once<T>(&self, attempt: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
        self.once_until(Instant::now() + self.deadline, attempt).await
    }

    async fn once_until<T>(&self, end: Instant, attempt: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
        let _permit = self.permits.acquire().await;
        let limit = ATTEMPT.min(end.saturating_duration_since(Instant::now()));
        match timeout(limit, attempt).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Fault::of(error, &self.title)),
            Err(_) => Err(Fault::late(&self.title, limit)),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("title", &self.title)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A delete that finds nothing has done its work.
pub(crate) fn gone_is_done(result: Result<(), Fault>) -> Result<(), Fault> {
    match result {
        Err(Fault::Gone(_) | Fault::NoNamespace(_)) => Ok(()),
        other => other,
    }
}
