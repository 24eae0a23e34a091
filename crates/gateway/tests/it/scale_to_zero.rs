//! Servers that are asleep or starting when they are called.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{future::join_all, stream::BoxStream};
use portolan_core::{
    Endpoint, Failure, FailureKind, HttpEndpoint, Install, InstallName, Owner, Result, Route, RunSpec, Runtime,
    RuntimeScale, ServerSpec, Status, StatusEvent, SystemClock, memory::MemoryRuntime,
};
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    gateway::{TestGateway, install},
    upstreams::{Eras, HttpFixture, http},
};

/// A memory runtime that can scale: waking takes a while, or for ever.
#[derive(Debug)]
struct ScalingRuntime {
    inner: Arc<MemoryRuntime>,
    takes: Option<Duration>,
    becomes: Status,
    woken: AtomicUsize,
}

#[async_trait]
impl Runtime for ScalingRuntime {
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        self.inner.ensure(name, spec).await
    }
    async fn remove(&self, name: &InstallName) -> Result<()> {
        self.inner.remove(name).await
    }
    async fn list(&self) -> Result<Vec<InstallName>> {
        self.inner.list().await
    }
    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        self.inner.endpoint(name).await
    }
    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.inner.watch()
    }
    fn scale(&self) -> Option<&dyn RuntimeScale> {
        Some(self)
    }
}

#[async_trait]
impl RuntimeScale for ScalingRuntime {
    async fn sleep(&self, name: &InstallName) -> Result<()> {
        self.inner.set(name, Status::Asleep);
        Ok(())
    }

    async fn wake(&self, name: &InstallName) -> Result<()> {
        self.woken.fetch_add(1, Ordering::SeqCst);
        self.inner.set(name, Status::Waking);
        if let Some(takes) = self.takes {
            let (inner, name, becomes) = (self.inner.clone(), *name, self.becomes.clone());
            tokio::spawn(async move {
                tokio::time::sleep(takes).await;
                inner.set(&name, becomes);
            });
        }
        Ok(())
    }
}

struct Setup {
    gateway: TestGateway,
    runtime: Arc<ScalingRuntime>,
    install: Arc<Install>,
    _fixture: HttpFixture,
}

/// A server that has been listed once and then fell start_asleep.
async fn start_asleep(takes: Option<Duration>, becomes: Status, budget: Duration) -> Setup {
    let fixture = http(Eras::Modern).await;
    let endpoint = Endpoint::Http(HttpEndpoint::new(fixture.url().parse().expect("a URL")));
    let runtime = Arc::new(ScalingRuntime {
        inner: Arc::new(MemoryRuntime::new(endpoint, Arc::new(SystemClock))),
        takes,
        becomes,
        woken: AtomicUsize::new(0),
    });
    let server = Arc::new(ServerSpec::command("up", "program", ["x"]).expect("a server"));
    let install = install(&server, Owner::Org);
    let spec = RunSpec::new(server.name.clone(), Owner::Org, server.source.clone());
    runtime.ensure(&install.name, &spec).await.expect("ensured");
    let gateway = TestGateway::builder()
        .unpublished()
        .runtime(runtime.clone())
        .config(|config| config.timeouts.wake = budget)
        .start()
        .await;
    let routes = vec![Route::new(server, vec![install.clone()], true)];
    gateway.publish_routes("default", routes).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert!(!client.tools().await.is_empty());
    runtime.sleep(&install.name).await.expect("start_asleep");
    Setup {
        gateway,
        runtime,
        install,
        _fixture: fixture,
    }
}

#[tokio::test]
async fn call_wakes_server_and_waits() {
    let setup = start_asleep(Some(Duration::from_millis(200)), Status::Ready, Duration::from_secs(10)).await;
    let client = setup.gateway.connect(ClientVersion::V2026_07_28).await;
    let calls = (0..16).map(|n| {
        let client = &client;
        async move { (n, client.text("up__echo", json!({"text": format!("hello {n}")})).await) }
    });
    for (n, answer) in join_all(calls).await {
        assert_eq!(answer, format!("hello {n}"));
    }
    assert_eq!(setup.runtime.woken.load(Ordering::SeqCst), 1, "it is told once");
}

#[tokio::test]
async fn slow_wake_is_retryable() {
    let setup = start_asleep(None, Status::Ready, Duration::from_millis(300)).await;
    let client = setup.gateway.connect(ClientVersion::V2025_11_25).await;
    let since = Instant::now();
    let answer = client.tool("up__echo", json!({"text": "x"})).await;
    assert!(since.elapsed() >= Duration::from_millis(300));
    let failure = &answer["result"]["_meta"]["dev.portolan/failure"];
    assert_eq!(*failure, json!({"cause": "starting", "retryable": true}), "{answer:?}");

    setup.runtime.inner.set(&setup.install.name, Status::Ready);
    assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn failed_wake_reports_cause() {
    let failure = Failure::new(FailureKind::Image, "its image cannot be pulled");
    let setup = start_asleep(
        Some(Duration::from_millis(20)),
        Status::Failed { failure },
        Duration::from_secs(60),
    )
    .await;
    let client = setup.gateway.connect(ClientVersion::V2026_07_28).await;
    let answer = client.tool("up__echo", json!({"text": "x"})).await;
    let failure = &answer["result"]["_meta"]["dev.portolan/failure"];
    assert_eq!(*failure, json!({"cause": "image", "retryable": false}), "{answer:?}");
}

#[tokio::test]
async fn listing_does_not_wake() {
    let setup = start_asleep(None, Status::Ready, Duration::from_secs(60)).await;
    let client = setup.gateway.connect(ClientVersion::V2026_07_28).await;
    assert!(!client.tools().await.is_empty());
    assert_eq!(setup.runtime.woken.load(Ordering::SeqCst), 0);
}
