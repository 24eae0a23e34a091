//! One install for one server and owner, however many ask for it at once.
//!
//! Names of installs are never used again, so they cannot be derived from server and owner: whoever is late with a
//! removal would remove the successor. Instead, the registry's compare-and-set decides, in two steps:
//!
//! 1. Who finds no install puts one, [`Reserved`](InstallState::Reserved), under a new name.
//! 2. Who finds reservations, the first of them by name for the second time, removes all others, each by the version that
//!    it saw, and only then confirms that one, by its version too, to [`Pending`](InstallState::Pending). A conflict at
//!    any point means: look again.
//!
//! Reservations belong to nobody; whoever comes by confirms the first, so one that was left by a crash is just used.
//!
//! Why two can never be confirmed: say `a < b` both were. Who confirmed `b` had its last look when `b` was there already,
//! and did not see `a`; so `a` was put after `b`. So who confirmed `a` had its last look when both were there, and saw
//! `b`: either confirmed, and then used it; or reserved, and then removed it first, by the version that the confirmation
//! of `b` would have needed. That a look is the second one matters because lists come in pages and are no snapshots.

use crate::{
    Error, Install, InstallName, InstallState, Key, Owner, Page, Precondition, RegistryExt, Result, ServerName,
    Versioned,
};

use super::{Orchestrator, deletion::refuse_deleted};

/// How often a flow looks again when others are faster. Each time, one of the others has got on.
pub(super) const ATTEMPTS: usize = 64;

impl Orchestrator {
    /// The one install of `server` for `owner`, or the one reservation that may be confirmed now.
    pub(super) async fn reserve(&self, server: &ServerName, owner: &Owner) -> Result<Versioned<Install>> {
        let mut seen = None;
        for _ in 0..ATTEMPTS {
            let found = self.installs_for(server, owner).await?;
            let is_reserved = |install: &Versioned<Install>| install.value.state == InstallState::Reserved;
            let (found, mut settled): (Vec<_>, Vec<_>) = found.into_iter().partition(is_reserved);
            if let Some(install) = settled.pop() {
                // Whoever came too late with a reservation comes by here with it.
                self.remove_reservations(&found).await?;
                return Ok(install);
            }
            match found.split_first() {
                None => seen = Some(self.put_reservation(server, owner).await?),
                Some((first, rivals)) => {
                    let again = seen.replace(first.value.name) == Some(first.value.name);
                    if again && self.remove_reservations(rivals).await? {
                        return Ok(first.clone());
                    }
                }
            }
        }
        Err(Error::conflict("install", format!("{server} for {owner}")))
    }

    /// Every install of `server` for `owner` that is neither deleted nor being removed, by name.
    pub(super) async fn installs_for(&self, server: &ServerName, owner: &Owner) -> Result<Vec<Versioned<Install>>> {
        let mut installs = self.installs_of(server, Some(owner)).await?;
        installs.retain(|install| !install.value.is_deleted() && install.value.state != InstallState::Removing);
        Ok(installs)
    }

    /// Every install of `server`, for one owner or for all, by name, as the registry has it.
    pub(super) async fn installs_of(
        &self,
        server: &ServerName,
        owner: Option<&Owner>,
    ) -> Result<Vec<Versioned<Install>>> {
        let (mut found, mut page) = (Vec::new(), Page::first());
        loop {
            let installs = self.parts.registry.installs_of(server, owner, page).await?;
            let Some(last) = installs.last() else {
                return Ok(found);
            };
            page = Page::after(Key::Install(last.value.name));
            found.extend(installs);
        }
    }

    async fn put_reservation(&self, server: &ServerName, owner: &Owner) -> Result<InstallName> {
        let (name, now) = (InstallName::new(&*self.parts.clock), self.parts.clock.now());
        let mut install = Install::new(name, server.clone(), owner.clone(), now);
        install.state = InstallState::Reserved;
        self.parts.registry.put(install.into(), Precondition::Absent).await?;
        // A server that is being removed at this moment: either its removal sees this reservation, or this sees it gone.
        let found = self.parts.registry.server(server).await;
        if let Err(gone) = found.and_then(|found| refuse_deleted(&found.value)) {
            self.parts
                .registry
                .remove(&Key::Install(name), Precondition::None)
                .await?;
            return Err(gone);
        }
        Ok(name)
    }

    /// Removes `rivals`; `false` when one of them has changed meanwhile.
    pub(super) async fn remove_reservations(&self, rivals: &[Versioned<Install>]) -> Result<bool> {
        for rival in rivals {
            let when = Precondition::Version(rival.version);
            match self.parts.registry.remove(&Key::Install(rival.value.name), when).await {
                Err(Error::Conflict { .. }) => return Ok(false),
                done => done?,
            }
        }
        Ok(true)
    }
}
