//! The steps of an installation.

use std::collections::BTreeMap;

use crate::{
    Answers, CredentialKey, Error, FieldKey, Install, InstallName, InstallState, Key, Owner, Precondition, RegistryExt,
    Result, Secret, ServerName, ServerSpec,
};

use super::{
    Orchestrator, Progress, answers,
    deletion::refuse_deleted,
    outcome::secrets_changed,
    readiness::{Deadline, Listener},
    reservation::ATTEMPTS,
    secrets::Stored,
};

/// A request to install a server for an owner.
///
/// ```
/// use portolan_core::{Answers, Owner, ServerName, orchestrator::InstallRequest};
///
/// let answers = Answers::new().set("region", "eu").secret("api_key", "s3cr3t");
/// let request = InstallRequest::new(ServerName::parse("github")?, Owner::Org).answers(answers);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct InstallRequest {
    /// The server.
    pub server: ServerName,
    /// The owner of the install.
    pub owner: Owner,
    /// The answers to the fields of the server, all of them: one that is not repeated when installing again is removed.
    pub answers: Answers,
}

impl InstallRequest {
    /// Creates a request to install `server` for `owner`, without answers.
    pub fn new(server: ServerName, owner: Owner) -> Self {
        Self {
            server,
            owner,
            answers: Answers::new(),
        }
    }

    /// Sets the answers.
    #[must_use]
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }
}

/// The checked answers of a request, and the key of each secret.
struct DesiredInstall {
    plain: BTreeMap<FieldKey, String>,
    secrets: BTreeMap<FieldKey, Secret>,
    /// The fields whose secret the server has itself.
    on_server: BTreeMap<FieldKey, CredentialKey>,
}

impl Orchestrator {
    /// Installs a server for an owner, and returns when its tools are known and published, or with the reason why not.
    ///
    /// There is one install for a server and an owner. Installing again with the same answers asks a ready install for its
    /// tools again and disturbs nothing else, and continues one that is not ready; other answers replace the earlier ones.
    /// After an error, installing again tries again. Nothing is written if the answers do not fit.
    ///
    /// It does not check whether this owner may have this server: see [`Visibility`](crate::Visibility).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such a server; [`Error::Invalid`] names every answer that does not fit;
    /// [`Error::NotReady`] with the reason, which the record of the install keeps too; [`Error::Conflict`] if somebody
    /// else removed it or gave other answers at the same time.
    pub async fn install(&self, request: InstallRequest) -> Result<Install> {
        self.install_with_progress(request, &mut |_| {}).await
    }

    /// Does what [`install`](Self::install) does, and reports each step to `progress`.
    ///
    /// # Errors
    ///
    /// Those of [`install`](Self::install).
    pub async fn install_with_progress(
        &self,
        request: InstallRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Install> {
        let deadline = Deadline::after(self.options.install_deadline);
        progress(Progress::Checking);
        let server = self.parts.registry.server(&request.server).await?.value;
        refuse_deleted(&server)?;
        server.check()?;
        let wish = self.check(&server, &request.answers).await?;
        progress(Progress::Recording);
        let install = self.record(&server, &request.owner, &wish).await?;
        // The record is there before this looks: either this sees that the server was deleted, or the deletion sees the record.
        if let Ok(server) = self.parts.registry.server(&server.name).await
            && let Err(deleted) = refuse_deleted(&server.value)
        {
            self.delete_as(&install.name, true).await?;
            return Err(deleted);
        }
        let install = if install.is_ready() {
            let started = self.start(&server, &install, deadline, progress).await;
            let install = self.confirm(&install).await?;
            started?;
            progress(Progress::Discovering);
            self.ask_again(&server, install).await?
        } else {
            self.complete(&server, install, Some(&wish.secrets), deadline, progress)
                .await?
        };
        progress(Progress::Publishing);
        self.sync([Key::Server(server.name.clone()), Key::Install(install.name)])
            .await?;
        progress(Progress::Done);
        Ok(install)
    }

    /// Asks a ready install for its tools again. One that does not answer now stays ready, with the tools that are known.
    async fn ask_again(&self, server: &ServerSpec, install: Install) -> Result<Install> {
        let within = self.options.probe_timeout;
        match tokio::time::timeout(within, self.ask_for_tools(server, &install)).await {
            Ok(Ok(tools)) => self.record_tools(&install, tools).await,
            Ok(Err(error)) => {
                tracing::debug!(install = %install.name, %error, "the tools stay as they were");
                Ok(install)
            }
            Err(_) => {
                tracing::debug!(install = %install.name, "the tools stay as they were: no answer in time");
                Ok(install)
            }
        }
    }

    async fn check(&self, server: &ServerSpec, given: &Answers) -> Result<DesiredInstall> {
        let stored = self.stored_on_server(server).await?;
        let checked = answers::check(server, given, &stored)?;
        let unanswered = stored.into_iter().filter(|field| !checked.secrets.contains_key(field));
        let on_server = unanswered.map(|field| (field.clone(), CredentialKey::of_server(&server.name, &field)));
        Ok(DesiredInstall {
            on_server: on_server.collect(),
            plain: checked.plain,
            secrets: checked.secrets,
        })
    }

    /// Records the install: ready if it already is with exactly this wish, else pending with it.
    async fn record(&self, server: &ServerSpec, owner: &Owner, wish: &DesiredInstall) -> Result<Install> {
        for _ in 0..ATTEMPTS {
            let found = self.reserve(&server.name, owner).await?;
            let same = wish.is_of(&found.value);
            match found.value.state {
                InstallState::Ready if same && self.are_stored(&found.value, &wish.secrets).await? => {
                    return Ok(found.value);
                }
                InstallState::Pending if same => return Ok(found.value),
                _ => {}
            }
            let mut install = found.value;
            install.answers.clone_from(&wish.plain);
            install.secrets = wish.secret_keys(&install.name);
            install.state = InstallState::Pending;
            install.updated = self.parts.clock.now();
            let when = Precondition::Version(found.version);
            match self.parts.registry.put(install.clone().into(), when).await {
                Err(Error::Conflict { .. }) => {}
                Err(other) => return Err(other),
                Ok(_) => return Ok(install),
            }
        }
        Err(Error::conflict("install", format!("{} for {owner}", server.name)))
    }

    /// Brings a pending install to ready, or to failed with the reason. `secrets` are stored first; without them, those that
    /// are stored are used.
    pub(super) async fn complete(
        &self,
        server: &ServerSpec,
        install: Install,
        secrets: Option<&BTreeMap<FieldKey, Secret>>,
        deadline: Deadline,
        progress: Listener<'_>,
    ) -> Result<Install> {
        let mut stored = Stored::default();
        let outcome = async {
            if let Some(secrets) = secrets {
                progress(Progress::StoringSecrets);
                self.store_secrets(server, &install, secrets, &mut stored).await?;
                self.parts.broker.forget(&install, None);
            }
            let versions = self.secret_versions(&install).await?;
            if stored
                .all
                .iter()
                .any(|(key, version)| versions.get(key) != Some(version))
            {
                return Err(secrets_changed(&install));
            }
            let tools = self.bring_up(server, &install, deadline, progress).await?;
            Ok((tools, versions))
        };
        let outcome = outcome.await;
        let recorded = match outcome {
            Ok((tools, versions)) => self.record_ready(&install, tools, &versions, &stored).await,
            Err(error) => Err(error),
        };
        match recorded {
            // Another flow owns it now.
            Err(conflict @ Error::Conflict { .. }) => Err(conflict),
            Err(error) => Err(self.record_failure(&install, error, &stored).await),
            ready => ready,
        }
    }

    /// Asks a ready install for its tools again, and publishes them if they have changed.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] without such an install; [`Error::Invalid`] for one that is not ready; [`Error::NotReady`] if it
    /// does not answer before the install deadline, and its tools stay as they were; an error of the registry or gateway.
    pub async fn refresh_tools(&self, name: &InstallName) -> Result<Install> {
        let install = self.parts.registry.install(name).await?.value;
        if !install.is_ready() {
            let title = install.title();
            return Err(Error::invalid(
                "install",
                format!("{title} is not ready; install it again"),
            ));
        }
        let server = self.parts.registry.server(&install.server).await?.value;
        let deadline = Deadline::after(self.options.install_deadline);
        let tools = self.discover(&server, &install, deadline).await?;
        let install = self.record_tools(&install, tools).await?;
        self.sync([Key::Server(server.name.clone()), Key::Install(install.name)])
            .await?;
        Ok(install)
    }
}

impl DesiredInstall {
    fn is_of(&self, install: &Install) -> bool {
        install.answers == self.plain && install.secrets == self.secret_keys(&install.name)
    }

    fn secret_keys(&self, name: &InstallName) -> BTreeMap<FieldKey, CredentialKey> {
        let own = self
            .secrets
            .keys()
            .map(|field| (field.clone(), CredentialKey::of_install(name, field)));
        own.chain(self.on_server.clone()).collect()
    }
}
