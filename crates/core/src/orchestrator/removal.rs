//! The steps of a removal: those of an installation backwards.

use crate::{Install, InstallName, InstallState, Key, Precondition, RegistryExt, Result};

use super::Orchestrator;

impl Orchestrator {
    /// Removes an install with all that belongs to it. Removing what is not there succeeds.
    ///
    /// Every step is tried, also after one has failed. The record goes last, and only when nothing else is left, so that
    /// removing again continues where this stopped.
    ///
    /// # Errors
    ///
    /// The first error of a store, the runtime or the gateway.
    pub async fn remove(&self, name: &InstallName) -> Result<()> {
        self.remove_if(name, |_| true).await
    }

    /// Removes an install if `condition` holds for its record.
    pub(super) async fn remove_if(
        &self,
        name: &InstallName,
        condition: impl Fn(&Install) -> bool + Send + Sync,
    ) -> Result<()> {
        let Some(install) = self.mark_removing(name, condition).await? else {
            return Ok(());
        };
        // Unpublish first: what is published must exist.
        let withdrawn = self.sync([Key::Install(*name)]).await;
        let stopped = self.parts.runtime.remove(name).await;
        let forgotten = self.remove_secrets(name).await;
        self.parts.broker.forget(&install, None);
        withdrawn.and(stopped).and(forgotten)?;
        let key = Key::Install(*name);
        self.parts.registry.remove(&key, Precondition::None).await?;
        self.sync([key]).await
    }

    /// Marks the install as removing and returns it; `None` if it is gone already, or `condition` does not hold.
    async fn mark_removing(
        &self,
        name: &InstallName,
        condition: impl Fn(&Install) -> bool + Send + Sync,
    ) -> Result<Option<Install>> {
        let mut marked = None;
        let now = self.parts.clock.now();
        let key = Key::Install(*name);
        let marking = self.parts.registry.update(&key, |found: Option<Install>| {
            marked = found.filter(|install| condition(install));
            let Some(install) = &mut marked else {
                return Ok(None);
            };
            if install.state == InstallState::Removing {
                return Ok(None);
            }
            (install.state, install.updated) = (InstallState::Removing, now);
            Ok(Some(install.clone()))
        });
        marking.await?;
        Ok(marked)
    }
}
