//! Several replicas of a server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use portolan_core::{ProtocolEra, Runtime, Status};

use crate::{
    sandbox::{Sandbox, ready, with_sandbox},
    servers,
    wait::wait_for_status,
};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn session_affinity_follows_era_and_replicas() {
    with_sandbox("copies", async |sandbox| {
        let runtime = sandbox.runtime();
        let mut spec = servers::http();
        spec.kubernetes.replicas = Some(2);
        let install = ready(&runtime, &spec).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        assert_eq!(affinity(&sandbox, &deployment).await, "ClientIP");
        let modern = |spec: &mut portolan_core::RunSpec| spec.era = ProtocolEra::Modern;
        let single = |spec: &mut portolan_core::RunSpec| spec.kubernetes.replicas = Some(1);
        for change in [modern as fn(&mut _), single] {
            let mut changed = spec.clone();
            change(&mut changed);
            for (spec, wanted) in [(&changed, "None"), (&spec, "ClientIP")] {
                runtime.ensure(&install, spec).await.expect("ensure");
                wait_for_status(&runtime, &install, TIMEOUT, |status| *status == Status::Ready).await;
                assert_eq!(affinity(&sandbox, &deployment).await, wanted);
            }
        }
    })
    .await;
}

async fn affinity(sandbox: &Sandbox, deployment: &str) -> String {
    let name = deployment.rsplit('/').next().expect("a name");
    let service = sandbox.api::<Service>().get(name).await.expect("it is there");
    service.spec.and_then(|spec| spec.session_affinity).expect("it has one")
}
