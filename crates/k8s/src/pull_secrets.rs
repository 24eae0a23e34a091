//! The image pull secrets that this runtime created.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_core::TeamId;

use crate::{name, namespace::Namespace, object_cache::DependentKind};

/// An image pull secret that was created from a registry account, without its contents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct PullSecret {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The label of the owning team, if a team owns it; see [`name::team_label`].
    pub team: Option<String>,
}

/// Lists the pull secrets of `namespaces`, sorted; only those of `teams` unless it is `None`.
pub(crate) fn list(namespaces: &[Arc<Namespace>], teams: Option<&[TeamId]>) -> Vec<PullSecret> {
    let teams: Option<Vec<_>> = teams.map(|teams| teams.iter().map(name::team_label).collect());
    let is_of = |secret: &PullSecret| match (&teams, &secret.team) {
        (None, _) => true,
        (Some(teams), Some(team)) => teams.contains(team),
        (Some(_), None) => false,
    };
    let mut secrets = Vec::new();
    for namespace in namespaces {
        let objects = namespace.objects();
        let table = objects.dependents.get(&DependentKind::Secret);
        let found = table
            .into_iter()
            .flat_map(|table| table.iter())
            .filter_map(|meta| of(meta));
        secrets.extend(found.filter(is_of));
    }
    secrets.sort_unstable();
    secrets
}

fn of(meta: &ObjectMeta) -> Option<PullSecret> {
    let labels = meta.labels.as_ref()?;
    (labels.get(name::KIND)? == "pull-secret").then_some(())?;
    Some(PullSecret {
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
        team: labels.get(name::TEAM).cloned(),
    })
}
