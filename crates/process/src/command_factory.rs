//! Where the command of a server comes from, anew with each start.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use portolan_core::{CredentialReader, EnvValue, Failure, FailureKind, RunSpec, Source};

use crate::{ResolvedValue, ServerCommand};

/// How long the secrets of one start may take to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells what to start.
#[async_trait]
pub(crate) trait CommandFactory: Debug + Send + Sync {
    /// The command, with secrets as they are now.
    async fn command(&self) -> Result<ServerCommand, Failure>;
}

#[async_trait]
impl CommandFactory for ServerCommand {
    async fn command(&self) -> Result<Self, Failure> {
        Ok(self.clone())
    }
}

/// A run spec, and where its secrets are.
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
            .era(self.spec.era)
            .server_requests(self.spec.server_requests);
        let read = async {
            command.env = self.resolved(&self.spec.env).await?;
            command.files = self.resolved(&self.spec.files).await?;
            Ok(command)
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(read) => read,
            Err(_) => Err(Failure::new(
                FailureKind::Connection,
                "its secrets could not be read in time",
            )),
        }
    }
}

impl SpecCommandFactory {
    async fn resolved(&self, values: &BTreeMap<String, EnvValue>) -> Result<BTreeMap<String, ResolvedValue>, Failure> {
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
