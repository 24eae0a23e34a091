//! Makes the command of a server, anew for each start.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use portolan_core::{CredentialReader, EnvValue, Failure, FailureKind, RunSpec, Source};

use crate::{ResolvedValue, ServerCommand};

/// How long the secrets of one start may take to read.
const SECRETS_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the command of a server.
#[async_trait]
pub(crate) trait CommandFactory: Debug + Send + Sync {
    /// Returns the command, with the present values of secrets.
    async fn command(&self) -> Result<ServerCommand, Failure>;
}

#[async_trait]
impl CommandFactory for ServerCommand {
    async fn command(&self) -> Result<Self, Failure> {
        Ok(self.clone())
    }
}

/// Makes commands from a run spec and the store of its secrets.
#[derive(Clone, Debug)]
pub(crate) struct SpecCommandFactory {
    pub(crate) spec: RunSpec,
    pub(crate) credentials: Arc<dyn CredentialReader>,
}

#[async_trait]
impl CommandFactory for SpecCommandFactory {
    async fn command(&self) -> Result<ServerCommand, Failure> {
        let Source::Command { program, args, .. } = &self.spec.source else {
            return Err(Failure::new(
                FailureKind::Config,
                "only a command can be run as a child process",
            ));
        };
        let mut command = ServerCommand::new(program, args.iter().cloned())
            .with_era(self.spec.era)
            .with_server_requests(self.spec.server_requests);
        let read = async {
            command.env = self.resolve_all(&self.spec.env).await?;
            command.files = self.resolve_all(&self.spec.files).await?;
            Ok(command)
        };
        match tokio::time::timeout(SECRETS_TIMEOUT, read).await {
            Ok(read) => read,
            Err(_) => Err(Failure::new(
                FailureKind::Connection,
                "the secrets could not be read in time",
            )),
        }
    }
}

impl SpecCommandFactory {
    async fn resolve_all(
        &self,
        values: &BTreeMap<String, EnvValue>,
    ) -> Result<BTreeMap<String, ResolvedValue>, Failure> {
        let mut resolved = BTreeMap::new();
        for (name, value) in values {
            resolved.insert(name.clone(), self.resolve(name, value).await?);
        }
        Ok(resolved)
    }

    async fn resolve(&self, name: &str, value: &EnvValue) -> Result<ResolvedValue, Failure> {
        let key = match value {
            EnvValue::Plain(text) => return Ok(ResolvedValue::Plain(text.clone())),
            EnvValue::Secret(key) => key,
        };
        match self.credentials.read(key).await {
            Ok(Some(found)) => Ok(ResolvedValue::Secret(found.value)),
            Ok(None) => Err(
                Failure::new(FailureKind::Config, format!("the secret for {name:?} is missing"))
                    .remedy("store the secret, then restart the server")
                    .detail(format!("credential key {key}")),
            ),
            Err(error) => Err(Failure::new(
                FailureKind::Connection,
                format!("the secret for {name:?} could not be read"),
            )
            .detail(error.to_string())),
        }
    }
}
