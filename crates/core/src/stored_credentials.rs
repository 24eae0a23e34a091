//! The default credential broker: headers from an install's own fields.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http::HeaderName;

use crate::{
    Caller, CredentialBroker, CredentialContext, CredentialReader, Delivery, Error, Failure, FailureKind, Field,
    Install, InstallName, Result, Secret, ServerSpec, UpstreamCredential, Version,
};

/// How long a credential is cached.
const CACHE_TTL: Duration = Duration::from_secs(30);
/// The maximum number of cached credentials.
const MAX_CACHED: usize = 10_000;

/// Sends the values of an install's fields with [`Delivery::Header`] as headers, and nothing else. Values are cached
/// for 30 seconds.
#[derive(Debug)]
pub struct StoredCredentials {
    reader: Arc<dyn CredentialReader>,
    cache: Mutex<HashMap<InstallName, (Instant, Arc<UpstreamCredential>)>>,
}

impl StoredCredentials {
    /// Creates a broker that reads secrets from `reader`.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use portolan_core::memory::MemoryCredentials;
    /// use portolan_core::StoredCredentials;
    ///
    /// let broker = StoredCredentials::new(Arc::new(MemoryCredentials::default()));
    /// # let _ = broker;
    /// ```
    pub fn new(reader: Arc<dyn CredentialReader>) -> Self {
        Self {
            reader,
            cache: Mutex::default(),
        }
    }

    async fn read(&self, server: &ServerSpec, install: &Install) -> Result<UpstreamCredential> {
        let mut credential = UpstreamCredential::none();
        for field in &server.fields {
            let Delivery::Header { name, prefix } = &field.delivery else {
                continue;
            };
            let name = HeaderName::try_from(name.as_str())
                .map_err(|_| Error::invalid(field.key.as_str(), format!("{name:?} is not a valid header name")))?;
            if let Some((value, version)) = self.value(field, server, install).await? {
                credential
                    .headers
                    .push((name, Secret::new(format!("{prefix}{}", value.reveal()))));
                credential.version = credential.version.max(version);
            }
        }
        // All callers of an install share one credential, and so the lists of its server.
        Ok(credential.with_scope(""))
    }

    async fn value(
        &self,
        field: &Field,
        server: &ServerSpec,
        install: &Install,
    ) -> Result<Option<(Secret, Option<Version>)>> {
        if let Some(key) = install.secrets.get(&field.key) {
            if let Some(found) = self.reader.read(key).await? {
                return Ok(Some((found.value, Some(found.version))));
            }
        } else if let Some(answer) = install.answers.get(&field.key).or(field.default.as_ref()) {
            return Ok(Some((Secret::new(answer.clone()), None)));
        }
        if !field.required {
            return Ok(None);
        }
        let failure = Failure::new(
            FailureKind::Credential,
            format!("its {:?} is missing", field.key.as_str()),
        )
        .remedy(format!(
            "install {:?} again and give {:?}",
            server.name.as_str(),
            field.key.as_str()
        ));
        Err(Error::NotReady {
            what: "server",
            name: server.name.to_string(),
            failure,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstallName, (Instant, Arc<UpstreamCredential>)>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CredentialBroker for StoredCredentials {
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        let CredentialContext {
            caller,
            server,
            install,
            ..
        } = *context;
        if !caller.may_use(&install.owner) {
            return Err(Error::Denied {
                action: "use this install".into(),
            });
        }
        if let Some((read, credential)) = self.lock().get(&install.name)
            && read.elapsed() < CACHE_TTL
        {
            return Ok(credential.clone());
        }
        let credential = Arc::new(self.read(server, install).await?);
        let mut cache = self.lock();
        if cache.len() >= MAX_CACHED {
            cache.retain(|_, (read, _)| read.elapsed() < CACHE_TTL);
        }
        if cache.len() < MAX_CACHED {
            cache.insert(install.name, (Instant::now(), credential.clone()));
        }
        Ok(credential)
    }

    fn forget(&self, install: &Install, _: Option<&Caller>) {
        self.lock().remove(&install.name);
    }
}
