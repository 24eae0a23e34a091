//! What differs between the versions of the Kubernetes API that hosts compile against.
//!
//! The spec of a Deployment is optional before 1.37. `Option` converts from either, so these compile with all versions.

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// The spec of a Deployment.
pub(crate) fn spec(deployment: &Deployment) -> Option<&DeploymentSpec> {
    (&deployment.spec).into()
}

/// The same, to be changed.
pub(crate) fn spec_mut(deployment: &mut Deployment) -> Option<&mut DeploymentSpec> {
    (&mut deployment.spec).into()
}

/// The metadata and the spec of a Deployment.
#[allow(clippy::useless_conversion, reason = "it is one in older versions only")]
pub(crate) fn parts(deployment: Deployment) -> (ObjectMeta, Option<DeploymentSpec>) {
    (deployment.metadata, deployment.spec.into())
}

/// A Deployment with no status.
#[allow(clippy::useless_conversion, reason = "it is one in the newest version only")]
pub(crate) fn deployment(metadata: ObjectMeta, spec: DeploymentSpec) -> Deployment {
    Deployment {
        metadata,
        spec: spec.into(),
        status: None,
    }
}
