//! Reads and writes of the Secret of one key.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::api::{DeleteParams, PostParams, Preconditions};
use portolan_core::{Backoff, CredentialKey, Error, Precondition, Result, Secret, Version};
use tokio::time::{Instant, sleep};

use super::object::{self, MAX_VALUE, Names, Stored};
use crate::{
    api_client::{ApiClient, ignore_not_found},
    error::ApiError,
};

/// The file with the permissions of the store.
pub(super) const RULES_FILE: &str = "deploy/credentials.yaml";

/// What is under the name of a key.
pub(super) enum Found {
    Nothing,
    Ours(Box<Stored>),
    /// An object that this store did not make.
    Foreign,
    /// An object whose removal waits for a finalizer of others.
    Ending,
}

impl Found {
    fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Ours(stored) => Some(stored),
            Self::Nothing | Self::Foreign | Self::Ending => None,
        }
    }
}

/// Reads what is under the name of `key`.
///
/// # Errors
///
/// Of the API server.
pub(super) async fn find(client: &ApiClient, names: &Names, key: &CredentialKey) -> Result<Found, ApiError> {
    let (api, name) = (client.api::<KubeSecret>(), names.object(key));
    let found = client.call(|| api.get_opt(&name)).await?;
    Ok(match found {
        None => Found::Nothing,
        Some(object) if !names.owns(&object.metadata, key) => Found::Foreign,
        Some(object) if object.metadata.deletion_timestamp.is_some() => Found::Ending,
        Some(object) => Found::Ours(Box::new(Stored::new(object))),
    })
}

/// What an unanswered write was based on.
enum Base {
    Nothing,
    Stored {
        resource_version: Option<String>,
        last_write: String,
    },
}

/// What became of an unanswered write.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was applied, and perhaps replaced since.
    Applied,
    /// It was not applied, and never will be.
    NotApplied,
    /// It was not applied so far; sending it again has the same effect once.
    Open,
    /// Others wrote or removed meanwhile, so that nothing tells.
    Unknown,
}

impl Base {
    fn of(found: &Found) -> Self {
        match found.stored() {
            None => Self::Nothing,
            Some(stored) => Self::Stored {
                resource_version: stored.resource_version().cloned(),
                last_write: stored.last_write().to_owned(),
            },
        }
    }

    /// Tells what became of the write `nonce` on this base from what is there now: each Secret lists its last writes.
    fn outcome(&self, nonce: &str, found: &Found) -> Outcome {
        let now = found.stored();
        let has = |write: &str| now.is_some_and(|now| now.writes().any(|other| other == write));
        if has(nonce) {
            return Outcome::Applied;
        }
        match self {
            Self::Nothing if matches!(found, Found::Nothing) => Outcome::Open,
            Self::Stored { resource_version, .. }
                if now.is_some_and(|now| now.resource_version() == resource_version.as_ref()) =>
            {
                Outcome::Open
            }
            Self::Stored { last_write, .. } if has(last_write) => Outcome::NotApplied,
            Self::Nothing | Self::Stored { .. } => Outcome::Unknown,
        }
    }
}

/// Writes a secret, by compare-and-set on the resource version of its object.
///
/// A write that the API server did not answer may have been applied. It is never told as a conflict or a success before the
/// object says which; if the object cannot say, the error is [`Error::Unavailable`].
///
/// # Errors
///
/// As [`CredentialStore::put`](portolan_core::CredentialStore::put); [`Error::Invalid`] if it is too long.
pub(super) async fn put(
    client: &ApiClient,
    names: &Names,
    key: &CredentialKey,
    secret: &Secret,
    when: Precondition,
) -> Result<Version> {
    check_size(key, secret)?;
    let action = || format!("write the credential {:?}", key.as_str());
    let nonce = object::nonce()?;
    let version = object::version(&nonce, secret.reveal().as_bytes());
    let end = Instant::now() + client.deadline();
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
    let mut unanswered: Option<Base> = None;
    loop {
        let found = find(client, names, key)
            .await
            .map_err(|error| failed(error, action()))?;
        match unanswered.as_ref().map(|base| base.outcome(&nonce, &found)) {
            Some(Outcome::Applied) => return Ok(version),
            Some(Outcome::Unknown) => return Err(unknown_outcome(key)),
            Some(Outcome::NotApplied) => unanswered = None,
            Some(Outcome::Open) | None => {}
        }
        check(&found, when, client, names, key)?;
        let error = match write(client, names, key, &found, &nonce, secret).await {
            Ok(()) => return Ok(version),
            Err(error) => error,
        };
        let mut wait = backoff.next_delay();
        match &error {
            // Others changed it since it was read: what is there now decides.
            ApiError::Conflict(_) | ApiError::NotFound(_) => {}
            ApiError::ServerBusy { retry_after, .. } => {
                wait = wait.max(retry_after.unwrap_or_default());
                unanswered = Some(Base::of(&found));
            }
            error if error.is_transient() => unanswered = Some(Base::of(&found)),
            _ => return Err(failed(error, action())),
        }
        if Instant::now() + wait >= end {
            return Err(gave_up(error, key, client.deadline()));
        }
        sleep(wait).await;
    }
}

/// Sends one write, over what was found.
async fn write(
    client: &ApiClient,
    names: &Names,
    key: &CredentialKey,
    found: &Found,
    nonce: &str,
    secret: &Secret,
) -> Result<(), ApiError> {
    let (api, params) = (client.api::<KubeSecret>(), PostParams::default());
    let object = object::with_value(names, key, found.stored(), nonce, secret);
    if found.stored().is_none() {
        return client.call_once(api.create(&params, &object)).await.map(drop);
    }
    let name = names.object(key);
    client.call_once(api.replace(&name, &params, &object)).await.map(drop)
}

/// Removes the secret under `key`.
///
/// # Errors
///
/// As [`CredentialStore::remove`](portolan_core::CredentialStore::remove).
pub(super) async fn remove(client: &ApiClient, names: &Names, key: &CredentialKey) -> Result<()> {
    let action = || format!("remove the credential {:?}", key.as_str());
    let end = Instant::now() + client.deadline();
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
    let mut first: Option<Option<String>> = None;
    loop {
        let found = find(client, names, key)
            .await
            .map_err(|error| failed(error, action()))?;
        let Some(stored) = found.stored() else { return Ok(()) };
        // Another object under the name: the first one is gone, and this one was written later.
        let uid = stored.uid().cloned();
        if first.get_or_insert_with(|| uid.clone()) != &uid {
            return Ok(());
        }
        let (api, name) = (client.api::<KubeSecret>(), names.object(key));
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid,
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = client.call(async || api.delete(&name, &params).await.map(drop)).await;
        match ignore_not_found(deleted) {
            Ok(()) => return Ok(()),
            Err(error @ ApiError::Conflict(_)) => {
                let wait = backoff.next_delay();
                if Instant::now() + wait >= end {
                    return Err(gave_up(error, key, client.deadline()));
                }
                sleep(wait).await;
            }
            Err(error) => return Err(failed(error, action())),
        }
    }
}

fn check_size(key: &CredentialKey, secret: &Secret) -> Result<()> {
    let size = secret.reveal().len();
    if size <= MAX_VALUE {
        return Ok(());
    }
    let problem = format!(
        "{:?} has {size} bytes; at most {MAX_VALUE} fit into a Kubernetes Secret",
        key.as_str()
    );
    Err(Error::invalid("secret", problem))
}

/// Checks the precondition, and that there is room under the name.
fn check(found: &Found, when: Precondition, client: &ApiClient, names: &Names, key: &CredentialKey) -> Result<()> {
    match found {
        Found::Foreign => return Err(foreign("Secret", client, names, key)),
        Found::Ending => {
            let why = format!(
                "the Secret {:?} in {:?} is being removed and waits for a finalizer of another program",
                names.object(key),
                client.namespace
            );
            return Err(Error::unavailable("Kubernetes", why));
        }
        Found::Nothing | Found::Ours(_) => {}
    }
    let holds = match when {
        Precondition::None => true,
        Precondition::Absent => found.stored().is_none(),
        Precondition::Version(version) => found.stored().is_some_and(|stored| stored.version() == version),
    };
    holds.then_some(()).ok_or_else(|| Error::conflict("credential", key))
}

/// The error of an object of others under the name of `key`.
pub(super) fn foreign(kind: &str, client: &ApiClient, names: &Names, key: &CredentialKey) -> Error {
    let why = format!(
        "the {kind} {:?} in {:?} lacks the labels of this store, so it is left alone; remove it or rename it",
        names.object(key),
        client.namespace
    );
    Error::backend("Kubernetes", format!("write the credential {:?}", key.as_str()), why)
}

/// Converts an error of the API server.
pub(super) fn failed(error: ApiError, action: String) -> Error {
    match error {
        ApiError::NamespaceNotFound(name) => {
            let why = format!(
                "the namespace {name:?} does not exist; create it: kubectl create namespace {name}, then apply {}",
                RULES_FILE
            );
            Error::backend("Kubernetes", action, why)
        }
        error => error.into_error(action),
    }
}

/// The error of a write that lost to others, or was not answered, until the deadline.
pub(super) fn gave_up(error: ApiError, key: &CredentialKey, after: Duration) -> Error {
    match error {
        ApiError::Conflict(_) | ApiError::NotFound(_) => {
            let seconds = after.as_secs_f32();
            let why = format!(
                "others changed the credential {:?} all the time for {seconds} s",
                key.as_str()
            );
            Error::unavailable("Kubernetes", why)
        }
        error => error.into_error(String::new()),
    }
}

fn unknown_outcome(key: &CredentialKey) -> Error {
    let why = format!(
        "a write of the credential {:?} was not answered, and others changed it meanwhile: read it to see what it is now",
        key.as_str()
    );
    Error::unavailable("Kubernetes", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(names: &Names, writes: &[&str], resource_version: &str) -> Found {
        let key = CredentialKey::parse("a").expect("a key");
        let mut last = None;
        for nonce in writes {
            let mut object = object::with_value(names, &key, last.as_ref(), nonce, &Secret::new("x"));
            object.metadata.resource_version = Some(resource_version.into());
            last = Some(Stored::new(object));
        }
        last.map_or(Found::Nothing, |last| Found::Ours(Box::new(last)))
    }

    #[test]
    fn history_tells_the_outcome() {
        let names = Names::new("s".into());
        let base = Base::of(&stored(&names, &["old"], "1"));
        let outcome = |writes: &[&str], version| base.outcome("mine", &stored(&names, writes, version));
        assert_eq!(outcome(&["old"], "1"), Outcome::Open);
        assert_eq!(
            outcome(&["old"], "2"),
            Outcome::NotApplied,
            "another program added a label"
        );
        assert_eq!(outcome(&["old", "mine"], "2"), Outcome::Applied);
        assert_eq!(outcome(&["old", "mine", "other"], "3"), Outcome::Applied);
        assert_eq!(outcome(&["old", "other"], "2"), Outcome::NotApplied);
        assert_eq!(outcome(&["other"], "3"), Outcome::Unknown, "removed and made again");
        assert_eq!(outcome(&[], ""), Outcome::Unknown, "removed");
        let nothing = Base::of(&Found::Nothing);
        assert_eq!(nothing.outcome("mine", &Found::Nothing), Outcome::Open);
        assert_eq!(
            nothing.outcome("mine", &stored(&names, &["mine", "other"], "2")),
            Outcome::Applied
        );
        assert_eq!(
            nothing.outcome("mine", &stored(&names, &["other"], "2")),
            Outcome::Unknown
        );
    }
}
