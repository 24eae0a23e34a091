//! The identity of one run of a container.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// Identifies one run of a container in a pod. A later run has none of the state of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodRun {
    /// The name of the pod.
    pub pod: String,
    /// A text that differs after each start of the container.
    pub start: String,
}

impl PodRun {
    /// Creates the identity of the run `start` in the pod `pod`.
    ///
    /// ```
    /// use portolan_k8s::attach::PodRun;
    ///
    /// assert_ne!(PodRun::new("mcp-time-0", "1"), PodRun::new("mcp-time-0", "2"));
    /// ```
    pub fn new(pod: impl Into<String>, start: impl Into<String>) -> Self {
        Self {
            pod: pod.into(),
            start: start.into(),
        }
    }

    /// Returns the present run of `container` in `pod`; `None` if it does not run.
    pub fn of(pod: &Pod, container: &str) -> Option<Self> {
        Self::of_container_or_only(pod, Some(container))
    }

    /// Returns the present run of `container`, or of the only container if none is named.
    pub(super) fn of_container_or_only(pod: &Pod, container: Option<&str>) -> Option<Self> {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let is_selected = |status: &&ContainerStatus| container.is_none_or(|name| status.name == name);
        let status = statuses.iter().find(is_selected)?;
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
