//! One gateway of a platform.

use portolan_core::{
    Assignment, GatewayName, GatewaySpec, Install, Key, Naming, RegistryExt, ResourceNaming, Result, Selection,
};

use crate::Platform;

/// A gateway of a platform, which need not be there yet: the first change makes it.
#[derive(Clone, Debug)]
pub struct GatewayHandle {
    platform: Platform,
    name: String,
}

impl GatewayHandle {
    pub(crate) fn new(platform: Platform, name: String) -> Self {
        Self { platform, name }
    }

    /// Serves all tools of an install, beside what is served already.
    pub async fn serve_all_of(&self, install: &Install) -> Result<GatewayName> {
        let assignment = Assignment::pinned(install);
        self.change(|gateway| match &mut gateway.selection {
            Selection::Assigned(assigned) => {
                assigned.retain(|other| other.server != assignment.server || other.install.is_none());
                assigned.push(assignment.clone());
            }
            other => *other = Selection::Assigned(vec![assignment.clone()]),
        })
        .await
    }

    /// Says where its tools come from.
    pub async fn select(&self, selection: Selection) -> Result<GatewayName> {
        self.change(|gateway| gateway.selection = selection.clone()).await
    }

    /// Says how its tools are named.
    pub async fn naming(&self, naming: Naming) -> Result<GatewayName> {
        self.change(|gateway| gateway.naming = naming).await
    }

    /// Says how its resources are named.
    pub async fn resource_naming(&self, resource_naming: ResourceNaming) -> Result<GatewayName> {
        self.change(|gateway| gateway.resource_naming = resource_naming).await
    }

    /// Changes it as `change` says, makes it if it is not there, and publishes it.
    pub async fn change(&self, mut change: impl FnMut(&mut GatewaySpec) + Send) -> Result<GatewayName> {
        let name = GatewayName::parse(&self.name)?;
        let key = Key::Gateway(name.clone());
        let changed = self.platform.registry().update::<GatewaySpec, _>(&key, |found| {
            let mut gateway = found.clone().unwrap_or_else(|| GatewaySpec::new(name.clone()));
            change(&mut gateway);
            Ok((found.as_ref() != Some(&gateway)).then_some(gateway))
        });
        changed.await?;
        self.platform.orchestrator().publish(&name).await?;
        Ok(name)
    }
}
