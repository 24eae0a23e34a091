//! The Service.
//!
//! A legacy session lives in one pod. With several replicas, each gateway is therefore routed to one pod as long as it exists:
//! the load is balanced by gateway, not by call. A server that is pinned to the modern era has no sessions, and each call may
//! go to any replica.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use portolan_core::ProtocolEra;

use super::{container::PORT_NAME, render_plan::RenderPlan};

/// Builds the Service of a server that is called over HTTP.
pub(super) fn service(plan: &RenderPlan<'_>) -> Option<Service> {
    plan.port.as_ref().map(|port| Service {
        metadata: plan.meta(&plan.name),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(plan.selector()),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.into()),
                port: port.port.into(),
                target_port: Some(IntOrString::Int(port.port.into())),
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            session_affinity: needs_session_affinity(plan).then(|| "ClientIP".into()),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

fn needs_session_affinity(plan: &RenderPlan<'_>) -> bool {
    let spec = plan.input.spec;
    spec.era != ProtocolEra::Modern && spec.kubernetes.replicas.is_some_and(|replicas| replicas > 1)
}
