//! How often a deployment was started again.

use std::{collections::BTreeMap, mem, sync::Arc};

use k8s_openapi::api::core::v1::Pod;

/// How often the containers of a deployment were started again, in all pods that it had since this runtime knows it. It
/// never falls: what a pod has counted stays when the pod goes.
#[derive(Debug, Default)]
pub(crate) struct RestartCounter {
    /// In pods that have gone.
    gone: u32,
    /// In pods that there are, by their uid.
    present: BTreeMap<String, u32>,
}

impl RestartCounter {
    /// Takes in which pods there are.
    pub(crate) fn observe(&mut self, pods: &[Arc<Pod>]) {
        let mut before = mem::take(&mut self.present);
        for pod in pods {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let old = before.remove(&uid).unwrap_or(0);
            self.present.insert(uid, old.max(of_pod(pod)));
        }
        self.gone = before.into_values().fold(self.gone, u32::saturating_add);
    }

    /// The number.
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
    fn they_are_counted_over_all_pods() {
        let mut restarts = RestartCounter::default();
        restarts.observe(&[pod("a", 4), pod("b", 1)]);
        assert_eq!(restarts.total(), 5);
    }

    #[test]
    fn they_never_fall_when_pods_go() {
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
    fn a_pod_that_is_told_late_takes_nothing_back() {
        let mut restarts = RestartCounter::default();
        restarts.observe(&[pod("a", 3)]);
        restarts.observe(&[pod("a", 2)]);
        assert_eq!(restarts.total(), 3);
    }
}
