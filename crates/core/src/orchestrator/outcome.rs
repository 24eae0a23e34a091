//! Records the outcome of an install, unless another flow owns it by now.

use std::error::Error as _;

use crate::{
    Error, Failure, FailureKind, Install, InstallState, Key, OmittedDefinition, Precondition, RegistryExt, Result,
    ServerSnapshot, ToolSet,
};

use super::{
    Orchestrator,
    reservation::ATTEMPTS,
    secrets::{SecretVersions, Stored},
};

/// What the server of an install lists.
struct ListedTools {
    tools: ToolSet,
    omitted: Vec<OmittedDefinition>,
}

impl From<ServerSnapshot> for ListedTools {
    fn from(listed: ServerSnapshot) -> Self {
        Self {
            tools: listed.tools.into(),
            omitted: listed.omitted,
        }
    }
}

impl ListedTools {
    fn record(&self, install: &mut Install) {
        install.tools.clone_from(&self.tools);
        install.omitted.clone_from(&self.omitted);
    }
}

impl Orchestrator {
    /// Records that `install` is ready and has these tools, given by a server that was started with secrets of these versions.
    pub(super) async fn record_ready(
        &self,
        install: &Install,
        listed: ServerSnapshot,
        versions: &SecretVersions,
        stored: &Stored,
    ) -> Result<Install> {
        let listed = ListedTools::from(listed);
        let ready = |found: &mut Install| {
            found.state = InstallState::Ready;
            listed.record(found);
        };
        self.conclude(install, Some(versions), stored, ready).await
    }

    /// Records that `install` has other tools now, whatever its state.
    pub(super) async fn record_tools(&self, install: &Install, listed: ServerSnapshot) -> Result<Install> {
        let listed = ListedTools::from(listed);
        self.conclude(install, None, &Stored::default(), |found| listed.record(found))
            .await
    }

    /// Records why `install` did not become ready, and gives the error that says so.
    pub(super) async fn record_failure(&self, install: &Install, error: Error, stored: &Stored) -> Error {
        let failure = failure_of(error);
        let state = InstallState::Failed {
            failure: failure.clone(),
        };
        let fail = |found: &mut Install| {
            // Another flow with the same wish may have made it ready.
            if found.state == InstallState::Pending {
                found.state = state.clone();
            }
        };
        if let Err(error) = self.conclude(install, None, stored, fail).await {
            tracing::warn!(install = %install.name, error = %error, "the failure of an install is not recorded");
        }
        Error::NotReady {
            what: "install",
            name: install.title(),
            failure,
        }
    }

    /// Changes the record of `install`, if it still is as this flow has left it.
    ///
    /// One that was removed meanwhile leaves nothing behind: a flow that was late may have stored secrets or started a
    /// deployment after the removal, and names are never used again, so all that is under this one is its own.
    ///
    /// Where `versions` are given, the secrets must still have them. They are looked at between reading the record and
    /// writing it: who puts another secret there looks at the record afterwards, and changes it if it has to.
    async fn conclude(
        &self,
        install: &Install,
        versions: Option<&SecretVersions>,
        stored: &Stored,
        change: impl Fn(&mut Install) + Send,
    ) -> Result<Install> {
        for _ in 0..ATTEMPTS {
            let found = match self.parts.registry.install(&install.name).await {
                Ok(found) if found.value.is_deleted() => {
                    self.stop(install).await;
                    break;
                }
                Ok(found) if found.value.state != InstallState::Removing => found,
                Ok(_) | Err(Error::NotFound { .. }) => {
                    self.remove_remains(install).await;
                    break;
                }
                Err(other) => return Err(other),
            };
            if found.value.answers != install.answers || found.value.secrets != install.secrets {
                self.refuse_mixture(install, stored).await?;
                self.ensure_recorded(install).await;
                break;
            }
            if let Some(versions) = versions
                && self.secret_versions(install).await? != *versions
            {
                return Err(secrets_changed(install));
            }
            let mut concluded = found.value.clone();
            change(&mut concluded);
            if concluded == found.value {
                return Ok(concluded);
            }
            concluded.updated = self.parts.clock.now();
            let when = Precondition::Version(found.version);
            match self.parts.registry.put(concluded.clone().into(), when).await {
                Err(Error::Conflict { .. }) => {}
                done => return done.map(|_| concluded),
            }
        }
        Err(Error::conflict("install", install.title()))
    }

    /// Makes sure that `install`, which this flow has just asked the runtime for, is still recorded so.
    pub(super) async fn confirm(&self, install: &Install) -> Result<Install> {
        self.conclude(install, None, &Stored::default(), |_| {}).await
    }

    /// Asks the runtime for what is recorded by now: a flow that was late may have asked for its own wish after that.
    async fn ensure_recorded(&self, install: &Install) {
        let mut ensured: Option<Install> = None;
        for _ in 0..ATTEMPTS {
            let found = match self.parts.registry.install(&install.name).await {
                Ok(found) if found.value.is_deleted() => return self.stop(install).await,
                Ok(found) if found.value.state != InstallState::Removing => found.value,
                Ok(_) | Err(Error::NotFound { .. }) => return self.remove_remains(install).await,
                Err(error) => return left_to_repair(install, &error),
            };
            if ensured.is_some_and(|old| old.answers == found.answers && old.secrets == found.secrets) {
                return;
            }
            let done = async {
                let server = self.parts.registry.server(&found.server).await?.value;
                if server.is_self_hosted() {
                    self.ensure(&server, &found).await?;
                }
                Ok(())
            };
            if let Err(error) = done.await {
                return left_to_repair(install, &error);
            }
            ensured = Some(found);
        }
    }

    /// Fails an install whose record has the answers of another flow and whose store has a secret of this one.
    async fn refuse_mixture(&self, install: &Install, stored: &Stored) -> Result<()> {
        let mut is_mixed = false;
        for (key, version) in &stored.written {
            let kept = self.parts.credentials.read(key).await?;
            is_mixed |= kept.is_some_and(|kept| kept.version == *version);
        }
        if !is_mixed {
            return Ok(());
        }
        let failure = Failure::new(
            FailureKind::Config,
            "it was installed twice at once, with different answers",
        )
        .remedy("install it again with the answers that shall be");
        let key = Key::Install(install.name);
        let marked = self.parts.registry.update(&key, |found: Option<Install>| {
            let found = found.filter(|found| found.state != InstallState::Removing && !found.is_deleted());
            Ok(found.map(|mut found| {
                found.state = InstallState::Failed {
                    failure: failure.clone(),
                };
                found
            }))
        });
        marked.await.map(drop)
    }

    /// Stops what runs for an install that was deleted meanwhile. Its secrets stay with its record.
    async fn stop(&self, install: &Install) {
        if let Err(error) = self.parts.runtime.remove(&install.name).await {
            left_to_repair(install, &error);
        }
    }

    async fn remove_remains(&self, install: &Install) {
        for removed in [
            self.parts.runtime.remove(&install.name).await,
            self.remove_secrets(&install.name).await,
        ] {
            if let Err(error) = removed {
                left_to_repair(install, &error);
            }
        }
    }
}

fn left_to_repair(install: &Install, error: &Error) {
    tracing::warn!(install = %install.name, error = %error, "an install that changed meanwhile is left to repair");
}

/// The failure of an install whose secret was replaced while its server started.
pub(super) fn secrets_changed(install: &Install) -> Error {
    let failure = Failure::new(FailureKind::Config, "a secret of it was changed while it was installed");
    Error::NotReady {
        what: "install",
        name: install.title(),
        failure: failure.remedy("install it again"),
    }
}

/// The failure that a record keeps of an error.
pub(super) fn failure_of(error: Error) -> Failure {
    let cause = match &error {
        Error::NotReady { failure, .. } => return failure.clone(),
        Error::Unavailable { .. } | Error::Exhausted { .. } => FailureKind::Connection,
        Error::Timeout { .. } => FailureKind::Timeout,
        Error::Denied { .. } => FailureKind::Credential,
        Error::Invalid { .. } | Error::NotFound { .. } | Error::Conflict { .. } => FailureKind::Config,
        Error::Backend { .. } => FailureKind::Start,
    };
    let mut failure = Failure::new(cause, error.to_string());
    failure.remedy = error.remedy().map(Into::into);
    let mut source = error.source();
    while let Some(error) = source {
        failure = failure.detail(error.to_string());
        source = error.source();
    }
    failure
}
