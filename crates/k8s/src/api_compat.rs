//! Differences between the versions of the Kubernetes API that hosts compile against.
//!
//! The spec of a Deployment is optional before 1.37. `Option` converts from both types, so these functions compile with all
//! versions.

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// Returns the spec of a Deployment.
pub(crate) fn spec(deployment: &Deployment) -> Option<&DeploymentSpec> {
    (&deployment.spec).into()
}

/// Returns the spec of a Deployment, mutable.
pub(crate) fn spec_mut(deployment: &mut Deployment) -> Option<&mut DeploymentSpec> {
    (&mut deployment.spec).into()
}

/// Splits a Deployment into its metadata and its spec.
#[allow(clippy::useless_conversion, reason = "needed in older versions only")]
pub(crate) fn parts(deployment: Deployment) -> (ObjectMeta, Option<DeploymentSpec>) {
    (deployment.metadata, deployment.spec.into())
}

/// Builds a Deployment without a status.
#[allow(clippy::useless_conversion, reason = "needed in the newest version only")]
pub(crate) fn deployment(metadata: ObjectMeta, spec: DeploymentSpec) -> Deployment {
    Deployment {
        metadata,
        spec: spec.into(),
        status: None,
    }
}
