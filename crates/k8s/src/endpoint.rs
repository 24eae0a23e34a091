//! How this program reaches a deployment.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use portolan_core::{Endpoint, Failure, HttpEndpoint};
use url::Url;

use crate::{
    attach::{AttachChannel, AttachConfig, Ownership, PodRun},
    config::EndpointMode,
    name::{CONTAINER, DeploymentKey},
    namespace::Namespace,
    plan::DeploymentPlan,
    port_forward::PortForward,
    render::Carrier,
    runtime_context::RuntimeContext,
};

/// The route to a deployment.
pub(crate) enum EndpointRoute {
    /// Not opened yet.
    None,
    /// The DNS name of its Service.
    Service {
        /// The DNS domain of the cluster.
        domain: String,
    },
    /// A local port that is forwarded through the API server.
    PortForward(PortForward),
    /// The standard input and output of its pod.
    Attached(Arc<AttachChannel>),
}

impl EndpointRoute {
    /// Routes to `pods` (newest first), and returns the endpoint if there is one.
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

    /// Opens the route that fits `plan`. A port-forward and an attachment need pods before they lead anywhere.
    pub(crate) async fn open(
        context: &RuntimeContext,
        namespace: &Arc<Namespace>,
        key: &DeploymentKey,
        plan: &DeploymentPlan,
    ) -> Result<Self, Failure> {
        let config = &context.config;
        if plan.rendered.carrier == Carrier::Attach {
            return Ok(Self::Attached(attach(context, namespace, key, plan)));
        }
        let uses_cluster_network = match config.endpoint_mode {
            EndpointMode::Auto => namespace.is_in_cluster,
            EndpointMode::Cluster => true,
            EndpointMode::PortForward => false,
        };
        if uses_cluster_network {
            let domain = config.cluster_domain.clone();
            return Ok(Self::Service { domain });
        }
        Ok(Self::PortForward(PortForward::open(namespace.clone()).await?))
    }

    /// Returns whether it fits the carrier of `plan`.
    pub(crate) fn fits(&self, plan: &DeploymentPlan) -> bool {
        match self {
            Self::None => false,
            Self::Attached(_) => plan.rendered.carrier == Carrier::Attach,
            Self::Service { .. } | Self::PortForward(_) => plan.rendered.carrier != Carrier::Attach,
        }
    }

    /// Closes the route.
    pub(crate) fn close(&mut self) {
        *self = Self::None;
    }
}

/// Attaches to a deployment. Of several replicas of the host, the holder of the Lease attaches.
fn attach(
    context: &RuntimeContext,
    namespace: &Namespace,
    key: &DeploymentKey,
    plan: &DeploymentPlan,
) -> Arc<AttachChannel> {
    let ownership = Ownership::new(&plan.name, &*context.holder_identity).with_labels(key.selector(&namespace.manager));
    let config = AttachConfig {
        cluster: namespace.client.cluster_name.to_string(),
        container: Some(CONTAINER.into()),
        era: plan.era,
        server_requests: plan.server_requests,
        ownership: Some(ownership),
        clock: context.clock.clone(),
        ..AttachConfig::default()
    };
    AttachChannel::new(
        &plan.name,
        namespace.client.kube.clone(),
        &namespace.client.namespace,
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
