//! Token keys that replicas share through their credential store.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portolan_core::{CredentialKey, CredentialStore, Error, Precondition, Result, Secret};

use super::{TokenKeys, failed};

/// Where the key is kept.
const PLACE: &str = "gateway/token-keys";
/// More than the replicas that begin at once and lose the race to write the first key.
const ATTEMPTS: usize = 16;

impl TokenKeys {
    /// Reads the keys that are kept in `store`, or keeps a new one there, so that all replicas of a gateway that share a
    /// credential store share their keys.
    ///
    /// ```
    /// use portolan_core::memory::MemoryCredentials;
    /// use portolan_gateway::TokenKeys;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
    /// let keys = TokenKeys::load_or_create_in(&MemoryCredentials::new()).await?;
    /// # Ok::<(), portolan_core::Error>(())
    /// # }).expect("keys");
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if something else is kept there; [`Error::Backend`] if the system has no random bytes; an error of
    /// the store.
    pub async fn load_or_create_in(store: &dyn CredentialStore) -> Result<Self> {
        let place = CredentialKey::parse(PLACE)?;
        for _ in 0..ATTEMPTS {
            if let Some(found) = store.read(&place).await? {
                return parse(&found.value);
            }
            let mut key = [0; 32];
            SystemRandom::new().fill(&mut key).map_err(failed)?;
            let text = Secret::new(URL_SAFE_NO_PAD.encode(key));
            match store.put(&place, text, Precondition::Absent).await {
                // Another replica was faster; its key counts.
                Err(Error::Conflict { .. }) => {}
                put => {
                    put?;
                    return Self::new(0, &key);
                }
            }
        }
        Err(Error::conflict("token keys", PLACE))
    }
}

fn parse(text: &Secret) -> Result<TokenKeys> {
    let mut key = [0; 32];
    match URL_SAFE_NO_PAD.decode_slice(text.reveal(), &mut key) {
        Ok(32) => TokenKeys::new(0, &key),
        _ => Err(Error::invalid(
            "token keys",
            format!("the secret {PLACE:?} of the credential store holds something else; remove it to get a new key"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_core::memory::MemoryCredentials;

    use super::*;
    use crate::seal::Purpose;

    #[tokio::test]
    async fn all_replicas_get_one_key() {
        let store = Arc::new(MemoryCredentials::new());
        let replicas = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { TokenKeys::load_or_create_in(&*store).await.expect("keys") })
        });
        let mut keys = Vec::new();
        for replica in replicas.collect::<Vec<_>>() {
            keys.push(replica.await.expect("no panic"));
        }
        let token = keys[0].seal(Purpose::Session, b"payload").expect("sealed");
        for keys in &keys {
            assert_eq!(keys.open(Purpose::Session, &token).as_deref(), Some(&b"payload"[..]));
        }
    }

    #[tokio::test]
    async fn another_secret_there_is_refused() {
        let store = MemoryCredentials::new();
        let place = CredentialKey::parse(PLACE).expect("a key");
        store
            .put(&place, "hunter2".into(), Precondition::None)
            .await
            .expect("put");
        let error = TokenKeys::load_or_create_in(&store).await.expect_err("refused");
        assert!(error.to_string().contains("holds something else"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
