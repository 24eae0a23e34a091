//! Records servers and gateways, and publishes them at once.

use crate::{
    CredentialKey, Error, GatewayName, GatewaySpec, Install, InstallState, Key, Precondition, RegistryExt, Result,
    ServerName, ServerSpec, Version,
};

use super::{Orchestrator, deletion::refuse_deleted, reservation::ATTEMPTS};

/// The most installs that one message names.
const NAMED: usize = 5;

impl Orchestrator {
    /// Checks a server, puts it into the catalogue and publishes the gateways that select it.
    ///
    /// Installs of it take a change on when they are installed again, and at the next [`repair`](Self::repair):
    /// [`update_server`](Self::update_server) says which have to.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the spec contradicts itself or the runtime could run it for nobody, such as a Deployment YAML
    /// that it does not accept, or if the server is deleted; [`Error::Conflict`] if `when` does not hold; an error of the registry or the gateway.
    pub async fn put_server(&self, server: ServerSpec, when: Precondition) -> Result<Version> {
        server.check()?;
        if server.is_self_hosted() {
            self.parts.runtime.check(&server)?;
        }
        let name = server.name.clone();
        let version = self.put_undeleted(server, when).await?;
        self.sync([Key::Server(name)]).await?;
        Ok(version)
    }

    async fn put_undeleted(&self, mut server: ServerSpec, when: Precondition) -> Result<Version> {
        server.deleted = None;
        for _ in 0..ATTEMPTS {
            // By the version that was looked at, so that a server which is deleted meanwhile stays so.
            let seen = match self.parts.registry.server(&server.name).await {
                Ok(found) => {
                    refuse_deleted(&found.value)?;
                    Precondition::Version(found.version)
                }
                Err(Error::NotFound { .. }) => Precondition::Absent,
                Err(error) => return Err(error),
            };
            let any = when == Precondition::None;
            let when = if any { seen } else { when };
            match self.parts.registry.put(server.clone().into(), when).await {
                Err(Error::Conflict { .. }) if any => {}
                put => return put,
            }
        }
        Err(Error::conflict("server", server.name))
    }

    /// Removes a server from the catalogue for good, with the secrets that it has itself. Removing what is not there succeeds.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] while there are installs of it, and names them; [`Error::Conflict`] if it was changed at the same
    /// time; an error of a store or the gateway.
    pub async fn remove_server(&self, name: &ServerName) -> Result<()> {
        let key = Key::Server(name.clone());
        let server = match self.parts.registry.server(name).await {
            Err(Error::NotFound { .. }) => {
                return self.remove_secrets_under(&CredentialKey::prefix_of_server(name)).await;
            }
            found => found?,
        };
        self.refuse_while_installed(name).await?;
        self.parts
            .registry
            .remove(&key, Precondition::Version(server.version))
            .await?;
        if let Err(refused) = self.refuse_while_installed(name).await {
            // An install began between the check and the removal. It finds its server again or has failed: both are fine.
            match self.parts.registry.put(server.value.into(), Precondition::Absent).await {
                Ok(_) | Err(Error::Conflict { .. }) => return Err(refused),
                Err(other) => return Err(other),
            }
        }
        self.remove_secrets_under(&CredentialKey::prefix_of_server(name))
            .await?;
        self.sync([key]).await
    }

    async fn refuse_while_installed(&self, name: &ServerName) -> Result<()> {
        let installs = self.installs_of(name, None).await?;
        if installs.is_empty() {
            return Ok(());
        }
        let mut named: Vec<_> = installs
            .iter()
            .take(NAMED)
            .map(|install| owner(&install.value))
            .collect();
        if installs.len() > NAMED {
            named.push(format!("{} more", installs.len() - NAMED));
        }
        let problem = format!(
            "{:?} is installed for {}; remove these installs first",
            name.as_str(),
            named.join(", ")
        );
        Err(Error::invalid("server", problem))
    }

    /// Records a gateway and publishes it.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if `when` does not hold; an error of the registry, or of the gateway.
    pub async fn put_gateway(&self, gateway: GatewaySpec, when: Precondition) -> Result<Version> {
        let name = gateway.name.clone();
        let version = self.parts.registry.put(gateway.into(), when).await?;
        self.publish(&name).await?;
        Ok(version)
    }

    /// Removes the record of a gateway and withdraws it. Removing what is not there succeeds.
    ///
    /// # Errors
    ///
    /// An error of the registry or the gateway.
    pub async fn remove_gateway(&self, name: &GatewayName) -> Result<()> {
        self.parts
            .registry
            .remove(&Key::Gateway(name.clone()), Precondition::None)
            .await?;
        self.publish(name).await
    }
}

fn owner(install: &Install) -> String {
    match install.state {
        InstallState::Removing => format!("{} (being removed)", install.owner),
        InstallState::Deleted { .. } => format!("{} (deleted)", install.owner),
        _ => install.owner.to_string(),
    }
}
