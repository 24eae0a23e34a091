//! A runtime with one deployment.

use std::sync::Arc;

use futures_util::StreamExt;
use portolan_core::{Channel, Endpoint, InstallName, RunSpec, Runtime, Status, SystemClock, memory::MemoryCredentials};
use portolan_process::{ProcessConfig, ProcessRuntime};
use tempfile::TempDir;

use crate::support::{TIMEOUT, config, tool};

pub(crate) struct TestRuntime {
    pub(crate) runtime: ProcessRuntime,
    pub(crate) credentials: Arc<MemoryCredentials>,
    pub(crate) name: InstallName,
    pub(crate) dir: TempDir,
}

pub(crate) fn test_runtime() -> TestRuntime {
    test_runtime_with(|_| {})
}

pub(crate) fn test_runtime_with(change: impl FnOnce(&mut ProcessConfig)) -> TestRuntime {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    change(&mut config);
    let credentials = Arc::new(MemoryCredentials::new());
    TestRuntime {
        runtime: ProcessRuntime::new(config, credentials.clone()),
        credentials,
        name: InstallName::new(&SystemClock),
        dir,
    }
}

impl TestRuntime {
    pub(crate) async fn ensure(&self, spec: &RunSpec) {
        self.runtime.ensure(&self.name, spec).await.unwrap();
    }

    pub(crate) async fn settled(&self) -> Status {
        let mut events = self.runtime.watch();
        let settled = async {
            while let Some(event) = events.next().await {
                if event.install == self.name && event.status.is_settled() {
                    return event.status;
                }
            }
            panic!("the watch ended");
        };
        tokio::time::timeout(TIMEOUT, settled).await.unwrap()
    }

    pub(crate) async fn ready(&self, spec: &RunSpec) -> u32 {
        self.ensure(spec).await;
        assert_eq!(self.settled().await, Status::Ready);
        self.runtime.pid(&self.name).unwrap()
    }

    pub(crate) async fn call(
        &self,
        name: &str,
        arguments: serde_json::Value,
    ) -> portolan_core::Result<serde_json::Value> {
        let channel = self.runtime.endpoint(&self.name).await.map(channel)?;
        tool(&*channel, name, arguments, TIMEOUT).await
    }

    pub(crate) async fn channel(&self) -> Arc<dyn Channel> {
        channel(self.runtime.endpoint(&self.name).await.unwrap())
    }
}

fn channel(endpoint: Endpoint) -> Arc<dyn Channel> {
    match endpoint {
        Endpoint::Channel(channel) => channel,
        other => panic!("{other:?}"),
    }
}
