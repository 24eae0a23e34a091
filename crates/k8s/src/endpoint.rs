//! How a deployment is reached from where this program runs.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use portolan_core::{Endpoint, Failure, HttpEndpoint};
use url::Url;

use crate::{
    attach::{AttachChannel, AttachConfig, Ownership, PodRun},
    config::Reach,
    deployment_state::Cell,
    name::CONTAINER,
    plan::Plan,
    port_forward::Forward,
    render::Carrier,
};

/// The road to a deployment.
pub(crate) enum Road {
    /// None yet.
    None,
    /// The cluster's network: the name of its Service.
    Service {
        /// The cluster's DNS domain.
        domain: String,
    },
    /// A port of this machine, forwarded through the API server.
    Forward(Forward),
    /// The input and output of its pod.
    Attached(Arc<AttachChannel>),
}

impl Road {
    /// Where it is reached, if one of `pods` (newest first) can be.
    pub(crate) fn endpoint(&self, plan: &Plan, pods: &[Arc<Pod>]) -> Option<Endpoint> {
        let port = plan.rendered.port.as_ref();
        match self {
            Self::Forward(forward) => forward.aim(pods, port.map_or(0, |port| port.port)),
            Self::Attached(channel) => channel.aim(pods.first().and_then(|pod| PodRun::of(pod, CONTAINER))),
            _ => {}
        }
        if pods.is_empty() {
            return None;
        }
        match self {
            Self::None => None,
            Self::Attached(channel) => Some(Endpoint::Channel(channel.clone())),
            Self::Service { domain } => {
                let host = format!("{}.{}.svc.{domain}", plan.deployment, plan.rendered.namespace);
                http(plan, &host, port?.port)
            }
            Self::Forward(forward) => http(plan, "127.0.0.1", forward.port()),
        }
    }

    /// Makes the road that fits `plan`. A port-forward and an attachment lead somewhere once they are aimed.
    pub(crate) async fn open(cell: &Cell, plan: &Plan) -> Result<Self, Failure> {
        let config = &cell.ground.config;
        if plan.rendered.carrier == Carrier::Attach {
            return Ok(Self::Attached(attach(cell, plan)));
        }
        let is_near = match config.reach {
            Reach::Auto => cell.target.is_around,
            Reach::Cluster => true,
            Reach::PortForward => false,
        };
        if is_near {
            let domain = config.cluster_domain.clone();
            return Ok(Self::Service { domain });
        }
        Ok(Self::Forward(Forward::open(cell.target.clone()).await?))
    }

    /// Whether it fits how `plan` is reached.
    pub(crate) fn fits(&self, plan: &Plan) -> bool {
        match self {
            Self::None => false,
            Self::Attached(_) => plan.rendered.carrier == Carrier::Attach,
            Self::Service { .. } | Self::Forward(_) => plan.rendered.carrier != Carrier::Attach,
        }
    }

    /// No way leads there any more.
    pub(crate) fn close(&mut self) {
        *self = Self::None;
    }
}

/// Attaches to a deployment. Of several replicas of the host, the one that holds the Lease is attached.
fn attach(cell: &Cell, plan: &Plan) -> Arc<AttachChannel> {
    let mut ownership = Ownership::new(&plan.deployment, &*cell.ground.holder);
    ownership.labels = cell.unit.selector(&cell.target.manager);
    let config = AttachConfig {
        cluster: cell.target.cluster.title.to_string(),
        container: Some(CONTAINER.into()),
        era: plan.era,
        server_requests: plan.server_requests,
        ownership: Some(ownership),
        clock: cell.ground.clock.clone(),
        ..AttachConfig::default()
    };
    AttachChannel::new(
        &plan.deployment,
        cell.target.cluster.client.clone(),
        &cell.target.cluster.namespace,
        config,
    )
}

fn http(plan: &Plan, host: &str, port: u16) -> Option<Endpoint> {
    let path = &plan.rendered.port.as_ref()?.path;
    let url = Url::parse(&format!("http://{host}:{port}{path}")).ok()?;
    let mut endpoint = HttpEndpoint::new(url);
    endpoint.era = plan.era;
    endpoint.token = (plan.rendered.carrier == Carrier::Bridge).then(|| plan.token.clone());
    Some(Endpoint::Http(endpoint))
}
