//! Repair: brings what is there in line with what is recorded, after a start.

use std::{collections::BTreeSet, fmt};

use futures_util::{StreamExt, stream};

use crate::{
    CredentialKey, Error, Install, InstallName, InstallState, Key, Precondition, RegistryExt, Result, Versioned,
};

use super::{Orchestrator, readiness::Deadline};

/// The most installs that are repaired at once.
const AT_ONCE: usize = 8;

/// The outcome of [`Orchestrator::repair`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Ready installs for which the runtime was asked again.
    pub ensured: Vec<InstallName>,
    /// Interrupted installs that are ready now.
    pub completed: Vec<InstallName>,
    /// Interrupted removals that are complete now, and unused reservations.
    pub removed: Vec<InstallName>,
    /// Names without a record whose deployment or secrets were removed.
    pub orphans: Vec<InstallName>,
    /// What could not be done: an install or a step, and the error.
    pub failures: Vec<(String, Error)>,
}

enum Repaired {
    Nothing,
    Ensured,
    Completed,
    Removed,
}

impl Orchestrator {
    /// Brings runtime, credentials and gateways in line with the registry.
    ///
    /// Call it at each start, and whenever something is in doubt. It disturbs nothing that is as it shall be, and may run
    /// beside everything else. A failure stops nothing else; it is in the report.
    pub async fn repair(&self) -> RepairReport {
        let mut report = RepairReport::default();
        match self.reload().await {
            Ok(()) => {
                // Before anything is started that shall not be there.
                if let Err(error) = self.finish_deletions().await {
                    report.failures.push(("deletions".into(), error));
                }
                self.repair_installs(&mut report).await;
            }
            Err(error) => report.failures.push(("reading the registry".into(), error)),
        }
        self.remove_orphans(&mut report).await;
        if let Err(error) = self.remove_expired().await {
            report.failures.push(("removing what is expired".into(), error));
        }
        if let Err(error) = self.publish_known().await {
            report.failures.push(("publishing".into(), error));
        }
        report
    }

    async fn repair_installs(&self, report: &mut RepairReport) {
        let installs = self.view.installs().into_iter();
        let unfinished = installs.filter(|install| !self.is_settled(&install.value));
        let mut repairs = stream::iter(unfinished)
            .map(|install| async move {
                let (name, title) = (install.value.name, install.value.title());
                let install = Versioned {
                    value: Install::clone(&install.value),
                    version: install.version,
                };
                (name, title, self.repair_install(install).await)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((name, title, repaired)) = repairs.next().await {
            match repaired {
                Ok(Repaired::Nothing) => {}
                Ok(Repaired::Ensured) => report.ensured.push(name),
                Ok(Repaired::Completed) => report.completed.push(name),
                Ok(Repaired::Removed) => report.removed.push(name),
                Err(error) => report.failures.push((format!("install {title}"), error)),
            }
        }
    }

    /// Returns `true` for an install that needs no repair: it has failed, is deleted, or is ready and nothing is run for it.
    fn is_settled(&self, install: &Install) -> bool {
        match install.state {
            InstallState::Failed { .. } | InstallState::Deleted { .. } => true,
            InstallState::Ready => {
                let server = self.view.server(&install.server);
                server.is_some_and(|server| !server.is_self_hosted())
            }
            _ => false,
        }
    }

    async fn repair_install(&self, install: Versioned<Install>) -> Result<Repaired> {
        let Versioned {
            value: install,
            version,
        } = install;
        match install.state {
            InstallState::Reserved => {
                self.drop_reservation(&install.name, Precondition::Version(version))
                    .await
            }
            InstallState::Removing => self.remove(&install.name).await.map(|()| Repaired::Removed),
            InstallState::Failed { .. } | InstallState::Deleted { .. } => Ok(Repaired::Nothing),
            InstallState::Ready => {
                let server = self.parts.registry.server(&install.server).await?.value;
                if !server.is_self_hosted() {
                    return Ok(Repaired::Nothing);
                }
                let ensured = self.ensure(&server, &install).await;
                match self.confirm(&install).await {
                    // It was changed or removed meanwhile, and so is in other hands.
                    Err(Error::Conflict { .. }) => Ok(Repaired::Nothing),
                    Err(other) => Err(other),
                    Ok(_) => ensured.map(|()| Repaired::Ensured),
                }
            }
            InstallState::Pending => {
                let server = self.parts.registry.server(&install.server).await?.value;
                let deadline = Deadline::after(self.options.install_deadline);
                self.complete(&server, install, None, deadline, &mut |_| {})
                    .await
                    .map(|_| Repaired::Completed)
            }
        }
    }

    /// Removes a reservation. A flow that was about to confirm it gets a conflict and makes another one.
    async fn drop_reservation(&self, name: &InstallName, when: Precondition) -> Result<Repaired> {
        match self.parts.registry.remove(&Key::Install(*name), when).await {
            Err(Error::Conflict { .. }) => Ok(Repaired::Nothing),
            done => done.map(|()| Repaired::Removed),
        }
    }

    /// Removes deployments and secrets of installs that have no record.
    ///
    /// They are listed before the records are looked at: a record is there before anything else of its install, so what has
    /// none then will never have one. An install that is removed meanwhile is an orphan the next time, if it left anything.
    ///
    /// What runs for a deleted install is stopped: a flow that was late may have started it after the deletion.
    async fn remove_orphans(&self, report: &mut RepairReport) {
        let (orphans, deleted) = match self.find_orphans().await {
            Ok(found) => found,
            Err(error) => return report.failures.push(("looking for orphans".into(), error)),
        };
        for name in deleted {
            if let Err(error) = self.parts.runtime.remove(&name).await {
                report.failures.push((format!("deleted install {name}"), error));
            }
        }
        for name in orphans {
            let stopped = self.parts.runtime.remove(&name).await;
            let forgotten = self.remove_secrets(&name).await;
            match stopped.and(forgotten) {
                Ok(()) => report.orphans.push(name),
                Err(error) => report.failures.push((format!("orphan {name}"), error)),
            }
        }
    }

    /// Returns the names without a record, and the deleted installs for which something runs.
    async fn find_orphans(&self) -> Result<(BTreeSet<InstallName>, Vec<InstallName>)> {
        let running = self.parts.runtime.list().await?;
        let mut there: BTreeSet<InstallName> = running.iter().copied().collect();
        there.extend(self.keys_under("install/").await?.iter().filter_map(install_of));
        there.retain(|name| self.view.install(name).is_none());
        let mut orphans = BTreeSet::new();
        for name in there {
            if self.parts.registry.get(&Key::Install(name)).await?.is_none() {
                orphans.insert(name);
            }
        }
        let mut deleted = Vec::new();
        for name in running {
            let is_known = self.view.install(&name).is_some_and(|install| install.is_deleted());
            // As it is now: another process may have restored it.
            if is_known
                && self
                    .parts
                    .registry
                    .install(&name)
                    .await
                    .is_ok_and(|now| now.value.is_deleted())
            {
                deleted.push(name);
            }
        }
        Ok((orphans, deleted))
    }
}

/// Returns the install that a key belongs to.
fn install_of(key: &CredentialKey) -> Option<InstallName> {
    let name = key.as_str().strip_prefix("install/")?.split('/').next()?;
    InstallName::parse(name).ok()
}

impl RepairReport {
    /// Returns `true` if nothing failed.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} installs ensured, {} completed, {} removed, {} orphans removed, {} failures",
            self.ensured.len(),
            self.completed.len(),
            self.removed.len(),
            self.orphans.len(),
            self.failures.len()
        )?;
        self.failures
            .iter()
            .try_for_each(|(what, error)| write!(f, "\n  {what}: {error}"))
    }
}
