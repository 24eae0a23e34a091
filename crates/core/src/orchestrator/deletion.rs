//! Deletion that can be undone: what is deleted is served and run for nobody, and its records and secrets stay until it is
//! restored, or removed when its retention ends.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    Error, Install, InstallName, InstallState, Key, Precondition, RegistryExt, Result, ServerName, ServerSpec,
    Versioned,
};

use super::{Orchestrator, readiness::Deadline, reservation::ATTEMPTS};

/// What [`Orchestrator::delete_server`] or [`Orchestrator::restore_server`] did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ServerInstalls {
    /// The installs that were deleted or restored with the server.
    pub done: Vec<InstallName>,
    /// Those that could not be, each with the reason. Deleting or restoring it again tries again.
    pub failures: Vec<(InstallName, Error)>,
}

impl Orchestrator {
    /// Deletes a server and the installs of it: nothing serves or runs them, and their records and secrets stay.
    ///
    /// [`restore_server`](Self::restore_server) undoes it within [`Options::retention`](super::Options::retention);
    /// after that [`remove_expired`](Self::remove_expired) removes them. Gateways keep their assignments. Deleting a deleted
    /// server again goes on where that ended.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such a server; an error of the registry or the gateway. An install that could not be
    /// deleted is in the result.
    pub async fn delete_server(&self, name: &ServerName) -> Result<ServerInstalls> {
        let now = self.parts.clock.now();
        self.mark_server(name, Some(now)).await?;
        self.sync([Key::Server(name.clone())]).await?;
        let mut result = ServerInstalls::default();
        for install in self.installs_of(name, None).await? {
            let install = install.value;
            // One that an earlier call has marked may still run.
            let is_apart = matches!(install.state, InstallState::Deleted { with_server: false, .. });
            if is_apart || matches!(install.state, InstallState::Reserved | InstallState::Removing) {
                continue;
            }
            match self.delete_as(&install.name, true).await {
                Ok(()) => result.done.push(install.name),
                Err(error) => result.failures.push((install.name, error)),
            }
        }
        Ok(result)
    }

    /// Restores a deleted server, and the installs that were deleted together with it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such a server; an error of the registry or the gateway. An install that did not become
    /// ready again is in the result.
    pub async fn restore_server(&self, name: &ServerName) -> Result<ServerInstalls> {
        self.mark_server(name, None).await?;
        self.sync([Key::Server(name.clone())]).await?;
        let mut result = ServerInstalls::default();
        for install in self.installs_of(name, None).await? {
            let install = install.value;
            if !matches!(install.state, InstallState::Deleted { with_server: true, .. }) {
                continue;
            }
            match self.restore(&install.name).await {
                Ok(_) => result.done.push(install.name),
                Err(error) => result.failures.push((install.name, error)),
            }
        }
        Ok(result)
    }

    /// Deletes an install: nothing serves or runs it, and its record and secrets stay. [`restore`](Self::restore) undoes it
    /// within [`Options::retention`](super::Options::retention), and [`remove`](Self::remove) removes it at once. Deleting what is not there succeeds.
    ///
    /// # Errors
    ///
    /// An error of the registry, the runtime or the gateway; deleting again goes on from there.
    pub async fn delete(&self, name: &InstallName) -> Result<()> {
        self.delete_as(name, false).await
    }

    pub(super) async fn delete_as(&self, name: &InstallName, with_server: bool) -> Result<()> {
        let at = self.parts.clock.now();
        let mut marked = None;
        let key = Key::Install(*name);
        let marking = self.parts.registry.update(&key, |found: Option<Install>| {
            marked = found.filter(|install| !matches!(install.state, InstallState::Reserved | InstallState::Removing));
            let Some(install) = &mut marked else { return Ok(None) };
            if install.is_deleted() {
                return Ok(None);
            }
            (install.state, install.updated) = (InstallState::Deleted { at, with_server }, at);
            Ok(Some(install.clone()))
        });
        marking.await?;
        let Some(install) = marked else { return Ok(()) };
        // Unpublish first: what is published must run.
        let withdrawn = self.sync([Key::Install(*name)]).await;
        let stopped = self.parts.runtime.remove(name).await;
        self.parts.broker.forget(&install, None);
        withdrawn.and(stopped)
    }

    /// Restores a deleted install with the answers and secrets that it had, and returns when its tools are known.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such an install; [`Error::Invalid`] if it is not deleted, its server is, or its owner has
    /// installed the server again since; [`Error::NotReady`] with the reason if it did not become ready: it is restored
    /// then, and installing it again tries again.
    pub async fn restore(&self, name: &InstallName) -> Result<Install> {
        let found = self.parts.registry.install(name).await?;
        let InstallState::Deleted { .. } = found.value.state else {
            let problem = format!("{} is not deleted", found.value.title());
            return Err(Error::invalid("install", problem));
        };
        let server = self.parts.registry.server(&found.value.server).await?.value;
        refuse_deleted(&server)?;
        let install = self.revive(found).await?;
        let deadline = Deadline::after(self.options.install_deadline);
        let install = self.complete(&server, install, None, deadline, &mut |_| {}).await?;
        self.sync([Key::Server(server.name), Key::Install(*name)]).await?;
        Ok(install)
    }

    /// Makes a deleted install pending, unless its owner has another one by now.
    ///
    /// The record is written before others are looked for. So of this one and an install that begins at the same time,
    /// the later one to look sees the other: see [`reservation`](super::reservation).
    async fn revive(&self, found: Versioned<Install>) -> Result<Install> {
        let deleted = found.value.clone();
        let mut install = found.value;
        (install.state, install.updated) = (InstallState::Pending, self.parts.clock.now());
        let when = Precondition::Version(found.version);
        let mut version = self.parts.registry.put(install.clone().into(), when).await?;
        for _ in 0..ATTEMPTS {
            let mut others = self.installs_for(&install.server, &install.owner).await?;
            others.retain(|other| other.value.name != install.name);
            if others.is_empty() {
                return Ok(install);
            }
            let all_reserved = others.iter().all(|other| other.value.state == InstallState::Reserved);
            if all_reserved {
                self.remove_reservations(&others).await?;
                continue;
            }
            let when = Precondition::Version(version);
            version = self.parts.registry.put(deleted.into(), when).await?;
            tracing::debug!(install = %install.name, ?version, "stays deleted: its owner has another install");
            let problem = format!(
                "{} was installed again since; remove that install first",
                install.title()
            );
            return Err(Error::invalid("install", problem));
        }
        Err(Error::conflict("install", install.title()))
    }

    /// Removes for good what was deleted longer ago than [`Options::retention`](super::Options::retention), and returns how many installs and servers that
    /// were.
    ///
    /// [`repair`](Self::repair) does it, and a platform does it every hour.
    ///
    /// # Errors
    ///
    /// The first error of a store or the runtime, after everything else was tried.
    pub async fn remove_expired(&self) -> Result<usize> {
        let before = earlier(self.parts.clock.now(), self.options.retention);
        let (mut removed, mut failed) = (0, None);
        let is_expired = |install: &Install| matches!(install.state, InstallState::Deleted { at, .. } if at <= before);
        // Reads the registry where that was not done yet.
        self.sync([]).await?;
        for install in self.view.installs() {
            if !is_expired(&install.value) {
                continue;
            }
            match self.remove_if(&install.value.name, is_expired).await {
                Ok(()) => removed += 1,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        for server in self.parts.registry.servers().await? {
            let is_kept = server.value.deleted.is_none_or(|at| at > before);
            if is_kept || !self.installs_of(&server.value.name, None).await?.is_empty() {
                continue;
            }
            match self.remove_server(&server.value.name).await {
                Ok(()) => removed += 1,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    /// Deletes the installs of deleted servers that an interrupted deletion or a late installation left.
    pub(super) async fn finish_deletions(&self) -> Result<()> {
        let mut failed = None;
        for install in self.view.installs() {
            let install = &install.value;
            let is_gone =
                matches!(install.state, InstallState::Reserved | InstallState::Removing) || install.is_deleted();
            let server = self.view.server(&install.server);
            if is_gone || server.is_none_or(|server| server.deleted.is_none()) {
                continue;
            }
            if let Err(error) = self.delete_as(&install.name, true).await {
                failed = failed.or(Some(error));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Sets or clears the mark of a server.
    async fn mark_server(&self, name: &ServerName, deleted: Option<Timestamp>) -> Result<()> {
        let key = Key::Server(name.clone());
        let marking = self.parts.registry.update(&key, |found: Option<ServerSpec>| {
            let mut server = found.ok_or_else(|| Error::not_found("server", name))?;
            if server.deleted.is_some() == deleted.is_some() {
                return Ok(None);
            }
            server.deleted = deleted;
            Ok(Some(server))
        });
        marking.await.map(drop)
    }
}

/// Refuses to work with a deleted server.
pub(super) fn refuse_deleted(server: &ServerSpec) -> Result<()> {
    match server.deleted {
        None => Ok(()),
        Some(_) => {
            let problem = format!("{:?} is deleted; restore it first", server.name.as_str());
            Err(Error::invalid("server", problem))
        }
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(by).unwrap_or(Timestamp::MIN)
}
