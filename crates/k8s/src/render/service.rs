//! The Service.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{container::PORT_NAME, plan::Plan};

/// The Service, where the server is reached by HTTP.
pub(super) fn service(plan: &Plan<'_>) -> Option<Service> {
    plan.port.as_ref().map(|port| Service {
        metadata: plan.meta(&plan.deployment),
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
            ..ServiceSpec::default()
        }),
        status: None,
    })
}
