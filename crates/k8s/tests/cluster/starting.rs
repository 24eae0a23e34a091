//! What the runtime adds to the start of a pod.

use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret as SecretObject},
};
use kube::{
    api::{DeleteParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use portolan_core::{RunSpec, Runtime, Secret};
use portolan_k8s::{
    KubeRuntime, Scheduling,
    render::{RenderInput, Rendered, render},
};
use serde_json::{Value, json};

use crate::{
    room::{Room, alone, name, ready},
    servers,
};

const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_ready_less_than_a_second_after_its_bare_pod_would_be() {
    alone("starting", async |room| {
        let runtime = room.runtime();
        runtime.check().await.expect("the namespace can be read");
        let http = servers::http();
        let bridge = servers::run(&servers::everything());
        for (carrier, spec) in [("http", http), ("bridge", bridge)] {
            let (mut bare, mut ours) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                bare.push(bare_start(&room, &spec, &format!("bare-{carrier}-{round}")).await);
                ours.push(our_start(&room, &runtime, &spec).await);
            }
            println!("{carrier}: bare {bare:.2?}, ours {ours:.2?}");
            let (bare, ours) = (median(bare), median(ours));
            println!("{carrier}: the medians are {bare:.2?} and {ours:.2?}");
            let added = ours.saturating_sub(bare);
            assert!(
                added < Duration::from_secs(1),
                "{carrier}: {added:?} more than the bare pod"
            );
        }
    })
    .await;
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// From `ensure` to the word of the watch.
async fn our_start(room: &Room, runtime: &KubeRuntime, spec: &RunSpec) -> Duration {
    let began = Instant::now();
    let install = ready(runtime, spec).await;
    let took = began.elapsed();
    runtime.remove(&install).await.expect("removed");
    emptied(room).await;
    took
}

/// From applying the same Deployment under another name, with none of our labels, until its pod counts as ready.
async fn bare_start(room: &Room, spec: &RunSpec, name: &str) -> Duration {
    let rendered = rendered(room, spec);
    if let Some(secret) = &rendered.secret {
        let mut secret = serde_json::to_value(secret).expect("JSON");
        let own = secret["metadata"]["name"].take();
        secret["metadata"] = json!({ "name": own });
        apply::<SecretObject>(room, own.as_str().expect("a name"), &secret).await;
    }
    let mut deployment = serde_json::to_value(&rendered.deployment).expect("JSON");
    deployment["metadata"] = json!({ "name": name });
    deployment["spec"]["selector"] = json!({ "matchLabels": { "app": name } });
    deployment["spec"]["template"]["metadata"]["labels"] = json!({ "app": name });
    let chosen = watcher::Config::default().labels(&format!("app={name}"));
    let mut pods = pin!(watcher(room.api::<Pod>(), chosen).applied_objects());
    let began = Instant::now();
    apply::<Deployment>(room, name, &deployment).await;
    while !is_ready(&pods.next().await.expect("it goes on").expect("a pod")) {}
    let took = began.elapsed();
    let api = room.api::<Deployment>();
    api.delete(name, &DeleteParams::background()).await.expect("deleted");
    emptied(room).await;
    took
}

fn rendered(room: &Room, spec: &RunSpec) -> Rendered {
    let config = room.config();
    render(&RenderInput {
        name: &name(),
        spec,
        config: &config,
        environment: &config.default_environment,
        secrets: &BTreeMap::new(),
        bridge_token: &Secret::new("a-token-of-the-test"),
        scheduling: &Scheduling::default(),
        restarted: None,
    })
    .expect("it renders")
}

async fn apply<K>(room: &Room, name: &str, object: &Value)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let params = PatchParams::apply("portolan-test").force();
    let api = room.api::<K>();
    api.patch(name, &params, &Patch::Apply(object)).await.expect("applied");
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until no pod is left that would take the machine's time.
async fn emptied(room: &Room) {
    let api = room.api::<Pod>();
    while !api.list(&Default::default()).await.expect("pods").items.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
