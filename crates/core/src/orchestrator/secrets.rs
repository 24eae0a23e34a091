//! The secrets of an install: stored before it starts, compared to see whether anything changed, removed with it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{CredentialKey, Error, FieldKey, Install, InstallName, Precondition, Result, Secret, ServerSpec, Version};

use super::{Orchestrator, reservation::ATTEMPTS};

/// Secrets by their keys, in the versions that they had at a time.
pub(super) type SecretVersions = BTreeMap<CredentialKey, Version>;

/// The secrets that a flow has stored or found stored.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// All of them, in the versions in which they are what the flow was given.
    pub(super) all: SecretVersions,
    /// Those that the flow has written itself.
    pub(super) written: SecretVersions,
}

/// How many keys are listed at once.
const PAGE: usize = 200;

impl Orchestrator {
    /// The secret fields of `server` that it has a secret for itself, once for all installs.
    pub(super) async fn stored_on_server(&self, server: &ServerSpec) -> Result<BTreeSet<FieldKey>> {
        let mut stored = BTreeSet::new();
        for field in server.fields.iter().filter(|field| field.secret) {
            let key = CredentialKey::of_server(&server.name, &field.key);
            if self.parts.credentials.read(&key).await?.is_some() {
                stored.insert(field.key.clone());
            }
        }
        Ok(stored)
    }

    /// Whether each of `secrets` is what is kept already.
    pub(super) async fn are_stored(&self, install: &Install, secrets: &BTreeMap<FieldKey, Secret>) -> Result<bool> {
        for (field, secret) in secrets {
            let kept = self
                .parts
                .credentials
                .read(&CredentialKey::of_install(&install.name, field))
                .await?;
            if kept.is_none_or(|kept| kept.value != *secret) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes `secrets` the secrets of the install. What is kept already is not written again, so that its version, and
    /// with it the deployment, stays.
    pub(super) async fn store_secrets(
        &self,
        server: &ServerSpec,
        install: &Install,
        secrets: &BTreeMap<FieldKey, Secret>,
        stored: &mut Stored,
    ) -> Result<()> {
        for (field, secret) in secrets {
            self.store_secret(&CredentialKey::of_install(&install.name, field), secret, stored)
                .await?;
        }
        for field in server.fields.iter().filter(|field| field.secret) {
            let own = CredentialKey::of_install(&install.name, &field.key);
            if install.secrets.get(&field.key) != Some(&own) {
                self.parts.credentials.remove(&own).await?;
            }
        }
        Ok(())
    }

    async fn store_secret(&self, key: &CredentialKey, secret: &Secret, stored: &mut Stored) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let when = match self.parts.credentials.read(key).await? {
                Some(kept) if kept.value == *secret => {
                    stored.all.insert(key.clone(), kept.version);
                    return Ok(());
                }
                Some(kept) => Precondition::Version(kept.version),
                None => Precondition::Absent,
            };
            match self.parts.credentials.put(key, secret.clone(), when).await {
                Err(Error::Conflict { .. }) => {}
                Err(other) => return Err(other),
                Ok(version) => {
                    stored.all.insert(key.clone(), version);
                    stored.written.insert(key.clone(), version);
                    return Ok(());
                }
            }
        }
        Err(Error::conflict("credential", key))
    }

    /// The versions of the secrets that the install names. One that is missing is an error.
    pub(super) async fn secret_versions(&self, install: &Install) -> Result<SecretVersions> {
        let mut versions = SecretVersions::new();
        for (field, key) in &install.secrets {
            let kept = self.parts.credentials.read(key).await?;
            let missing = || Error::invalid(field.as_str(), "has no stored secret; install again and give it");
            versions.insert(key.clone(), kept.ok_or_else(missing)?.version);
        }
        Ok(versions)
    }

    /// Removes every secret of the install, also such as were left by a crash or by others.
    pub(super) async fn remove_secrets(&self, install: &InstallName) -> Result<()> {
        self.remove_secrets_under(&CredentialKey::prefix_of_install(install))
            .await
    }

    /// Removes every secret whose key begins with `prefix`.
    pub(super) async fn remove_secrets_under(&self, prefix: &str) -> Result<()> {
        for key in self.keys_under(prefix).await? {
            self.parts.credentials.remove(&key).await?;
        }
        Ok(())
    }

    /// Every key that begins with `prefix`.
    pub(super) async fn keys_under(&self, prefix: &str) -> Result<Vec<CredentialKey>> {
        let mut keys: Vec<CredentialKey> = Vec::new();
        loop {
            let page = self.parts.credentials.keys(prefix, keys.last(), PAGE).await?;
            if page.is_empty() {
                return Ok(keys);
            }
            keys.extend(page);
        }
    }
}
