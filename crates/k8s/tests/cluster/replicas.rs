//! Several copies of a server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use portolan_core::{ProtocolEra, Runtime, Status};

use crate::{
    servers,
    test_namespace::{Room, ready, until, with_room},
};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_keeps_to_one_copy_as_long_as_there_may_be_sessions() {
    with_room("copies", async |room| {
        let runtime = room.runtime();
        let mut spec = servers::http();
        spec.kubernetes.replicas = Some(2);
        let install = ready(&runtime, &spec).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        assert_eq!(affinity(&room, &deployment).await, "ClientIP");
        let modern = |spec: &mut portolan_core::RunSpec| spec.era = ProtocolEra::Modern;
        let single = |spec: &mut portolan_core::RunSpec| spec.kubernetes.replicas = Some(1);
        for change in [modern as fn(&mut _), single] {
            let mut changed = spec.clone();
            change(&mut changed);
            for (spec, wanted) in [(&changed, "None"), (&spec, "ClientIP")] {
                runtime.ensure(&install, spec).await.expect("ensure");
                until(&runtime, &install, SOON, |status| *status == Status::Ready).await;
                assert_eq!(affinity(&room, &deployment).await, wanted);
            }
        }
    })
    .await;
}

async fn affinity(room: &Room, deployment: &str) -> String {
    let name = deployment.rsplit('/').next().expect("a name");
    let service = room.api::<Service>().get(name).await.expect("it is there");
    service.spec.and_then(|spec| spec.session_affinity).expect("it has one")
}
