//! The secrets that images are pulled with, as far as we made them.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_core::TeamId;

use crate::{name, namespace::Namespace, object_cache::DependentKind};

/// A secret that images are pulled with, made from a registry account. What it holds is not told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct PullSecret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The label with its team, if a team owns it; see [`name::team_label`].
    pub team: Option<String>,
}

/// Those of `namespaces`, sorted; of `teams` alone, unless it is `None`.
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
