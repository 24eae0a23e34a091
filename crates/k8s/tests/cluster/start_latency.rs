//! The latency that the runtime adds to the start of a pod.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{Stream, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use portolan_core::{RunSpec, Runtime};
use portolan_k8s::KubeRuntime;

use crate::{
    sandbox::{Sandbox, exclusive, ready},
    servers,
    wait::eventually,
};

const ROUNDS: usize = 3;

/// Measures the time until the pod exists and the time from its readiness to the published status. The start of the pod itself
/// and the interval of its probe (one second) are not the runtime's.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_adds_less_than_a_second() {
    exclusive("starting", async |sandbox| {
        let runtime = sandbox.runtime();
        runtime.check().await.expect("the namespace can be read");
        let http = servers::http();
        let bridge = servers::run(&servers::everything());
        for (carrier, spec) in [("http", http), ("bridge", bridge)] {
            let mut added = Vec::new();
            for _ in 0..ROUNDS {
                added.push(added_to_start(&sandbox, &runtime, &spec).await);
            }
            println!("{carrier}: {added:.2?}");
            added.sort_unstable();
            let median = added[ROUNDS / 2];
            assert!(median < Duration::from_secs(1), "{carrier}: {median:?} are added");
        }
    })
    .await;
}

async fn added_to_start(sandbox: &Sandbox, runtime: &KubeRuntime, spec: &RunSpec) -> Duration {
    let mut events = pin!(watcher::watcher(sandbox.api::<Pod>(), watcher::Config::default()));
    while !matches!(next(&mut events).await, Event::InitDone) {}
    let began = Instant::now();
    let told = async {
        let install = ready(runtime, spec).await;
        (install, Instant::now())
    };
    let ((install, told), (seen, is_ready)) = tokio::join!(told, moments(&mut events));
    runtime.remove(&install).await.expect("removed");
    wait_until_empty(sandbox).await;
    seen.duration_since(began) + told.saturating_duration_since(is_ready)
}

/// Returns when the pod existed and when it was ready.
async fn moments(events: &mut (impl Stream<Item = watcher::Result<Event<Pod>>> + Unpin)) -> (Instant, Instant) {
    let mut seen = None;
    loop {
        let Event::Apply(pod) = next(events).await else {
            continue;
        };
        let now = Instant::now();
        let seen = *seen.get_or_insert(now);
        if is_ready(&pod) {
            return (seen, now);
        }
    }
}

async fn next(events: &mut (impl Stream<Item = watcher::Result<Event<Pod>>> + Unpin)) -> Event<Pod> {
    events
        .try_next()
        .await
        .expect("pods can be watched")
        .expect("it goes on")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until no pod is left that uses the machine.
async fn wait_until_empty(sandbox: &Sandbox) {
    let api = sandbox.api::<Pod>();
    eventually("all pods are gone", Duration::from_secs(60), async || {
        let pods = api.list(&Default::default()).await.expect("pods").items;
        pods.is_empty().then_some(())
    })
    .await;
}
