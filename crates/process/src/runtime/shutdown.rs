//! Shuts a process runtime down: every process stops in order while there is time, and is killed after that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use portolan_core::{InstallName, Status, StatusEvent};
use rustix::process::{Pid, test_kill_process};

use super::{Deployment, ProcessRuntime};
use crate::StdioServer;

/// The longest wait for the operating system to reap processes that were killed.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);

impl ProcessRuntime {
    /// Stops all deployments and takes no more of them.
    pub(super) async fn stop_all(&self, within: Duration) {
        let ending = EndingDeployments::new(self.close());
        let deadline = Some(tokio::time::Instant::now() + within);
        let drain = within.saturating_sub(self.config.stop_grace * 2).max(within / 2);
        let in_order = join_all(ending.0.iter().map(|(_, deployment)| async move {
            deployment.close_by(drain, deadline);
            deployment.server.supervisor.stop_by(drain, deadline).await;
            deployment.conversations_stopped().await;
        }));
        let _ = tokio::time::timeout(within, in_order).await;
        ending.reap().await;
        for (name, _) in &ending.0 {
            let now = self.config.clock.now();
            self.board.set(StatusEvent::new(*name, Status::Removed, now));
        }
    }

    /// Takes all deployments out, so that none is found or started any more.
    fn close(&self) -> Vec<(InstallName, Deployment)> {
        let mut deployments = self.lock();
        deployments.closed = true;
        std::mem::take(&mut deployments.by_name).into_iter().collect()
    }
}

/// Deployments that are being stopped. Dropped, it kills what is left of them.
struct EndingDeployments(Vec<(InstallName, Deployment)>);

impl EndingDeployments {
    fn new(deployments: Vec<(InstallName, Deployment)>) -> Self {
        Self(deployments)
    }

    /// Kills what still runs and waits until the operating system knows it no longer.
    async fn reap(&self) {
        let servers: Vec<Arc<StdioServer>> = self.0.iter().flat_map(|(_, one)| one.servers()).collect();
        let left: Vec<u32> = servers.iter().filter_map(|server| server.pid()).collect();
        self.kill();
        let deadline = Instant::now() + REAP_TIMEOUT;
        while left.iter().any(|pid| is_there(*pid)) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    fn kill(&self) {
        for (_, deployment) in &self.0 {
            deployment.kill();
            deployment.server.supervisor.shared.logs.close();
        }
    }
}

impl Drop for EndingDeployments {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}
