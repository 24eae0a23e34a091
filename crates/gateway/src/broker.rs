//! The credential broker that is there by default: headers from an install's own fields.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http::HeaderName;
use portolan_core::{
    Caller, CredentialBroker, CredentialContext, CredentialReader, Delivery, Error, Failure, FailureKind, Field,
    Install, InstallName, Result, Secret, ServerSpec, UpstreamCredential, Version,
};

/// How long what was read is used before it is read again.
const FRESH: Duration = Duration::from_secs(30);
/// Installs whose headers are remembered.
const MOST: usize = 10_000;

/// Sends what the install's fields with [`Delivery::Header`] say, and nothing else.
#[derive(Debug)]
pub struct StoredCredentials {
    reader: Arc<dyn CredentialReader>,
    cache: Mutex<HashMap<InstallName, (Instant, Arc<UpstreamCredential>)>>,
}

impl StoredCredentials {
    /// A broker that reads secrets from `reader`.
    pub fn new(reader: Arc<dyn CredentialReader>) -> Self {
        Self {
            reader,
            cache: Mutex::default(),
        }
    }

    async fn read(&self, server: &ServerSpec, install: &Install) -> Result<UpstreamCredential> {
        let mut outbound = UpstreamCredential::none();
        for field in &server.fields {
            let Delivery::Header { name, prefix } = &field.delivery else {
                continue;
            };
            let name = HeaderName::try_from(name.as_str())
                .map_err(|_| Error::invalid(field.key.as_str(), format!("{name:?} is no header name")))?;
            if let Some((value, version)) = self.value(field, server, install).await? {
                outbound
                    .headers
                    .push((name, Secret::new(format!("{prefix}{}", value.reveal()))));
                outbound.version = outbound.version.max(version);
            }
        }
        // An install has one set of answers for all its callers, so they share the lists of its server.
        Ok(outbound.with_scope(""))
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
        if let Some((read, outbound)) = self.lock().get(&install.name)
            && read.elapsed() < FRESH
        {
            return Ok(outbound.clone());
        }
        let outbound = Arc::new(self.read(server, install).await?);
        let mut cache = self.lock();
        if cache.len() >= MOST {
            cache.retain(|_, (read, _)| read.elapsed() < FRESH);
        }
        if cache.len() < MOST {
            cache.insert(install.name, (Instant::now(), outbound.clone()));
        }
        Ok(outbound)
    }

    fn forget(&self, install: &Install, _: Option<&Caller>) {
        self.lock().remove(&install.name);
    }
}
