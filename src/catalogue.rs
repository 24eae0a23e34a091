//! Servers and installs of a platform.

use portolan_core::{
    Answers, Install, InstallName, Owner, RegistryExt, Result, Secret, ServerName, ServerSpec,
    orchestrator::{InstallRequest, InstallStatus, Progress, ServerInstalls, ServerUpdate},
};

use crate::Platform;

impl Platform {
    /// Puts a server into the catalogue if there is none of this name, and leaves an entry that is there as it is.
    ///
    /// For a host that names its servers in code: what an administrator has changed since is not undone by the next
    /// start. To bring a changed spec in, call [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) for a spec that contradicts itself or that the runtime could run for nobody; an error of the
    /// registry.
    pub async fn ensure(&self, server: ServerSpec) -> Result<ServerName> {
        let name = server.name.clone();
        self.orchestrator().ensure_server(server).await?;
        Ok(name)
    }

    /// Replaces a server in the catalogue, or puts it there, and says which installs have to be installed again to take the
    /// change on, and why.
    ///
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) for a spec that contradicts itself or that the runtime could run for nobody; an error of the
    /// registry.
    pub async fn update(&self, server: ServerSpec) -> Result<ServerUpdate> {
        self.orchestrator().update_server(server).await
    }

    /// Puts a server into the catalogue and **replaces** an entry of this name, whoever made it.
    ///
    /// For programs that own their database, such as examples and tools; others call [`ensure`](Self::ensure). Installs
    /// take a change on when they are installed again.
    ///
    /// # Errors
    ///
    /// Those of [`update`](Self::update).
    pub async fn add(&self, server: ServerSpec) -> Result<ServerName> {
        Ok(self.update(server).await?.server)
    }

    /// Installs a server for an owner, and returns when its tools are known, or says why it cannot be used.
    ///
    /// There is one install for a server and an owner: installing again finds it, asks it for its tools again, and goes on
    /// where an interrupted install ended.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](portolan_core::Error::NotFound) without such a server; [`Error::Invalid`](portolan_core::Error::Invalid) if the server asks for answers;
    /// [`Error::NotReady`](portolan_core::Error::NotReady) with the reason and the remedy, which the record of the install keeps too;
    /// [`Error::Conflict`](portolan_core::Error::Conflict) if somebody else removed or changed it at the same time.
    pub async fn install(&self, server: &ServerName, owner: Owner) -> Result<Install> {
        let request = InstallRequest::new(server.clone(), owner);
        self.orchestrator().install(request).await
    }

    /// Installs a server for an owner with these answers to its fields: pairs of a field's key and the answer.
    ///
    /// Answers to secret fields go to the credential store, the others to the registry. The answers are all that the
    /// install is given: one that was given before and is not repeated is taken away.
    ///
    /// ```no_run
    /// # async fn example(platform: portolan::Platform, server: portolan::ServerName) -> portolan::Result<()> {
    /// use portolan::Owner;
    ///
    /// platform.install_with(&server, Owner::Org, [("api_key", "s3cr3t"), ("region", "eu")]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`install`](Self::install); [`Error::Invalid`](portolan_core::Error::Invalid) names every answer that does not fit.
    pub async fn install_with<K, V>(
        &self,
        server: &ServerName,
        owner: Owner,
        answers: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Install>
    where
        K: Into<String>,
        V: Into<Secret>,
    {
        let given: Vec<(String, Secret)> = answers
            .into_iter()
            .map(|(key, answer)| (key.into(), answer.into()))
            .collect();
        let spec = self.registry().server(server).await?.value;
        let is_secret = |key: &str| {
            let mut fields = spec.fields.iter();
            fields.any(|field| field.secret && field.key.as_str() == key)
        };
        let mut answers = Answers::new();
        for (key, answer) in given {
            answers = if is_secret(&key) {
                answers.secret(key, answer)
            } else {
                answers.set(key, answer.reveal())
            };
        }
        let request = InstallRequest::new(server.clone(), owner).answers(answers);
        self.orchestrator().install(request).await
    }

    /// Installs a server as the request says, and reports each step to `progress` while it waits.
    ///
    /// # Errors
    ///
    /// Those of [`install`](Self::install).
    pub async fn install_with_progress(
        &self,
        request: InstallRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Install> {
        self.orchestrator().install_with_progress(request, progress).await
    }

    /// Deletes an install so that it can be restored: nothing serves or runs it, and its answers and secrets stay for
    /// [`Options::retention`](portolan_core::orchestrator::Options::retention), 30 days by default. Deleting what is not there
    /// succeeds.
    ///
    /// # Errors
    ///
    /// An error of the registry, the runtime or the gateway; call again to go on from there.
    pub async fn delete(&self, install: &InstallName) -> Result<()> {
        self.orchestrator().delete(install).await
    }

    /// Restores a deleted install, and returns when its tools are known.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](portolan_core::Error::NotFound) without such an install; [`Error::Invalid`](portolan_core::Error::Invalid) if it is not deleted, its
    /// server is, or its owner has installed the server again since; [`Error::NotReady`](portolan_core::Error::NotReady) with the reason if it is restored and
    /// did not become ready.
    pub async fn restore(&self, install: &InstallName) -> Result<Install> {
        self.orchestrator().restore(install).await
    }

    /// Deletes a server and its installs so that they can be restored. Start-up code that calls [`ensure`](Self::ensure) does
    /// not bring it back.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](portolan_core::Error::NotFound) without such a server; an error of the registry or the gateway. An install that could not be deleted is
    /// in the result.
    pub async fn delete_server(&self, server: &ServerName) -> Result<ServerInstalls> {
        self.orchestrator().delete_server(server).await
    }

    /// Restores a deleted server, and the installs that were deleted together with it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](portolan_core::Error::NotFound) without such a server; an error of the registry or the gateway. An install that did not become ready
    /// is in the result.
    pub async fn restore_server(&self, server: &ServerName) -> Result<ServerInstalls> {
        self.orchestrator().restore_server(server).await
    }

    /// Removes an install for good, with its deployment, its secrets and its place in every gateway. Removing what is not there
    /// succeeds.
    ///
    /// # Errors
    ///
    /// The first error of a store, the runtime or the gateway; call again to go on from there.
    pub async fn remove(&self, install: &InstallName) -> Result<()> {
        self.orchestrator().remove(install).await
    }

    /// Returns the state of every install as it is now: ready or not, why not, what to do about it, its last log lines.
    ///
    /// Remote servers are asked, each at most once in 10 s. The result serialises to JSON, for a status page.
    ///
    /// ```no_run
    /// # async fn example(platform: portolan::Platform) -> portolan::Result<()> {
    /// for install in platform.status().await? {
    ///     let problem = install.failure.map(|failure| failure.message).unwrap_or_default();
    ///     println!("{} for {}: {:?} {problem}", install.server, install.owner, install.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An error of the registry. A runtime or a server that does not answer is no error: its installs say so.
    pub async fn status(&self) -> Result<Vec<InstallStatus>> {
        self.orchestrator().status().await
    }
}
