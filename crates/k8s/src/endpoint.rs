//! How a deployment is reached from where this program runs.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use portolan_core::{Endpoint, Failure, HttpEndpoint};
use url::Url;

use crate::{
    attach::{AttachChannel, AttachConfig, Ownership, PodRun},
    config::EndpointMode,
    deployment_state::DeploymentState,
    name::CONTAINER,
    plan::DeploymentPlan,
    port_forward::PortForward,
    render::Carrier,
};

/// The road to a deployment.
pub(crate) enum EndpointRoute {
    /// None yet.
    None,
    /// The cluster's network: the name of its Service.
    Service {
        /// The cluster's DNS domain.
        domain: String,
    },
    /// A port of this machine, forwarded through the API server.
    PortForward(PortForward),
    /// The input and output of its pod.
    Attached(Arc<AttachChannel>),
}

impl EndpointRoute {
    /// Where it is reached, if one of `pods` (newest first) can be.
    pub(crate) fn endpoint(&self, plan: &DeploymentPlan, pods: &[Arc<Pod>]) -> Option<Endpoint> {
        let port = plan.rendered.port.as_ref();
        match self {
            Self::PortForward(forward) => forward.set_pods(pods, port.map_or(0, |port| port.port)),
            Self::Attached(channel) => channel.set_run(pods.first().and_then(|pod| PodRun::of(pod, CONTAINER))),
            _ => {}
        }
        if pods.is_empty() {
            return None;
        }
        match self {
            Self::None => None,
            Self::Attached(channel) => Some(Endpoint::Channel(channel.clone())),
            Self::Service { domain } => {
                let host = format!("{}.{}.svc.{domain}", plan.name, plan.rendered.namespace);
                http(plan, &host, port?.port)
            }
            Self::PortForward(forward) => http(plan, "127.0.0.1", forward.port()),
        }
    }

    /// Makes the road that fits `plan`. A port-forward and an attachment lead somewhere once they are aimed.
    pub(crate) async fn open(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<Self, Failure> {
        let config = &deployment.context.config;
        if plan.rendered.carrier == Carrier::Attach {
            return Ok(Self::Attached(attach(deployment, plan)));
        }
        let is_near = match config.reach {
            EndpointMode::Auto => deployment.namespace.is_in_cluster,
            EndpointMode::Cluster => true,
            EndpointMode::PortForward => false,
        };
        if is_near {
            let domain = config.cluster_domain.clone();
            return Ok(Self::Service { domain });
        }
        Ok(Self::PortForward(
            PortForward::open(deployment.namespace.clone()).await?,
        ))
    }

    /// Whether it fits how `plan` is reached.
    pub(crate) fn fits(&self, plan: &DeploymentPlan) -> bool {
        match self {
            Self::None => false,
            Self::Attached(_) => plan.rendered.carrier == Carrier::Attach,
            Self::Service { .. } | Self::PortForward(_) => plan.rendered.carrier != Carrier::Attach,
        }
    }

    /// No way leads there any more.
    pub(crate) fn close(&mut self) {
        *self = Self::None;
    }
}

/// Attaches to a deployment. Of several replicas of the host, the one that holds the Lease is attached.
fn attach(deployment: &DeploymentState, plan: &DeploymentPlan) -> Arc<AttachChannel> {
    let mut ownership = Ownership::new(&plan.name, &*deployment.context.holder_identity);
    ownership.labels = deployment.key.selector(&deployment.namespace.manager);
    let config = AttachConfig {
        cluster: deployment.namespace.client.cluster_name.to_string(),
        container: Some(CONTAINER.into()),
        era: plan.era,
        server_requests: plan.server_requests,
        ownership: Some(ownership),
        clock: deployment.context.clock.clone(),
        ..AttachConfig::default()
    };
    AttachChannel::new(
        &plan.name,
        deployment.namespace.client.kube.clone(),
        &deployment.namespace.client.namespace,
        config,
    )
}

fn http(plan: &DeploymentPlan, host: &str, port: u16) -> Option<Endpoint> {
    let path = &plan.rendered.port.as_ref()?.path;
    let url = Url::parse(&format!("http://{host}:{port}{path}")).ok()?;
    let mut endpoint = HttpEndpoint::new(url);
    endpoint.era = plan.era;
    endpoint.token = (plan.rendered.carrier == Carrier::Bridge).then(|| plan.token.clone());
    Some(Endpoint::Http(endpoint))
}
