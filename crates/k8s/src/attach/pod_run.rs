//! Which start of which container is meant.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// One start of a container in a pod. What runs under another one knows nothing of what this one was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodRun {
    /// The name of the pod.
    pub pod: String,
    /// Another text after each start.
    pub start: String,
}

impl PodRun {
    /// The start `start` in the pod `pod`.
    pub fn new(pod: impl Into<String>, start: impl Into<String>) -> Self {
        Self {
            pod: pod.into(),
            start: start.into(),
        }
    }

    /// The present start of `container` in `pod`; `None` if it does not run.
    pub fn of(pod: &Pod, container: &str) -> Option<Self> {
        Self::of_container_or_only(pod, Some(container))
    }

    /// The same, of its only container if none is named.
    pub(super) fn of_container_or_only(pod: &Pod, container: Option<&str>) -> Option<Self> {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let is_meant = |status: &&ContainerStatus| container.is_none_or(|name| status.name == name);
        let status = statuses.iter().find(is_meant)?;
        let running = status.state.as_ref()?.running.as_ref()?;
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let ContainerStatus {
            container_id,
            restart_count,
            ..
        } = status;
        let start = match container_id {
            Some(id) => format!("{uid}/{id}"),
            None => format!("{uid}/{restart_count}/{:?}", running.started_at),
        };
        Some(Self::new(pod.metadata.name.as_deref()?, start))
    }
}
