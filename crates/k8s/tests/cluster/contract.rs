//! The conformance suite of runtimes, on a real cluster.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Endpoint, EnvValue, InstallName, Result, RunSpec, Runtime, StatusEvent, conformance::runtime::Fixture,
};
use portolan_k8s::KubeRuntime;
use tokio::sync::RwLockReadGuard;

use crate::{
    sandbox::{self, Sandbox},
    servers,
};

portolan_core::conformance::runtime_suite!(async || fixture().await);

async fn fixture() -> Fixture {
    let shared = sandbox::shared().await;
    let sandbox = Sandbox::open("contract").await;
    let plain = |text: &str| EnvValue::Plain(text.into());
    let mut other = servers::http();
    other.env.insert("OTHER".into(), plain("1"));
    let mut failing = servers::image("docker.io/local/there-is-no-such-image:1");
    failing.env.insert("WHY".into(), plain("it is not there"));
    let runtime = SandboxRuntime {
        runtime: sandbox.runtime(),
        sandbox: Arc::new(sandbox),
        _shared: shared,
    };
    let mut fixture = Fixture::new(Arc::new(runtime), servers::http(), other, failing);
    fixture.patience = Duration::from_secs(30);
    fixture
}

/// A runtime that deletes its sandbox when dropped: a case of the suite owns only the runtime.
#[derive(Debug)]
struct SandboxRuntime {
    runtime: KubeRuntime,
    sandbox: Arc<Sandbox>,
    _shared: RwLockReadGuard<'static, ()>,
}

impl Drop for SandboxRuntime {
    fn drop(&mut self) {
        self.sandbox.close_from_drop();
    }
}

#[async_trait]
impl Runtime for SandboxRuntime {
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        self.runtime.ensure(name, spec).await
    }

    async fn remove(&self, name: &InstallName) -> Result<()> {
        self.runtime.remove(name).await
    }

    async fn list(&self) -> Result<Vec<InstallName>> {
        self.runtime.list().await
    }

    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        self.runtime.endpoint(name).await
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.runtime.watch()
    }
}
