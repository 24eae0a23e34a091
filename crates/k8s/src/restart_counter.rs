//! Container restarts of a deployment.

use std::{collections::BTreeMap, mem, sync::Arc};

use k8s_openapi::api::core::v1::Pod;

/// Counts the container restarts of a deployment, in all pods since this runtime knows it. The count never decreases: that of a
/// pod stays when the pod is gone.
#[derive(Debug, Default)]
pub(crate) struct RestartCounter {
    /// The restarts in pods that are gone.
    gone: u32,
    /// The restarts in existing pods, by uid.
    present: BTreeMap<String, u32>,
}

impl RestartCounter {
    /// Records the existing pods.
    pub(crate) fn observe(&mut self, pods: &[Arc<Pod>]) {
        let mut before = mem::take(&mut self.present);
        for pod in pods {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let old = before.remove(&uid).unwrap_or(0);
            self.present.insert(uid, old.max(of_pod(pod)));
        }
        self.gone = before.into_values().fold(self.gone, u32::saturating_add);
    }

    /// Returns the number of restarts.
    pub(crate) fn total(&self) -> u32 {
        self.present.values().copied().fold(self.gone, u32::saturating_add)
    }
}

fn of_pod(pod: &Pod) -> u32 {
    let containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    containers
        .map(|container| u32::try_from(container.restart_count).unwrap_or(0))
        .fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, restarts: i32) -> Arc<Pod> {
        let container = json!({
            "name": "mcp-server", "image": "", "imageID": "", "ready": true, "restartCount": restarts,
        });
        let pod = json!({ "metadata": { "uid": uid }, "status": { "containerStatuses": [container] } });
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn counts_all_pods() {
        let mut restarts = RestartCounter::default();
        restarts.observe(&[pod("a", 4), pod("b", 1)]);
        assert_eq!(restarts.total(), 5);
    }

    #[test]
    fn keeps_counts_of_gone_pods() {
        let mut restarts = RestartCounter::default();
        restarts.observe(&[pod("a", 2)]);
        restarts.observe(&[pod("a", 2), pod("b", 0)]);
        restarts.observe(&[pod("b", 1)]);
        assert_eq!(restarts.total(), 3);
        restarts.observe(&[]);
        assert_eq!(restarts.total(), 3);
        restarts.observe(&[pod("c", 1)]);
        assert_eq!(restarts.total(), 4);
    }

    #[test]
    fn ignores_outdated_counts() {
        let mut restarts = RestartCounter::default();
        restarts.observe(&[pod("a", 3)]);
        restarts.observe(&[pod("a", 2)]);
        assert_eq!(restarts.total(), 3);
    }
}
