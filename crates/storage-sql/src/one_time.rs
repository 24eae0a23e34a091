//! The store of one-time records.

use async_trait::async_trait;
use aws_lc_rs::digest;
use jiff::Timestamp;
use portolan_core::{Error, OneTimeStore, Result, Secret, check_one_time};

use crate::{SqlStore, envelope::Identity, error::SqlError};

#[async_trait]
impl OneTimeStore for SqlStore {
    async fn put(&self, purpose: &str, id: &str, payload: Secret, expires: Timestamp, now: Timestamp) -> Result<()> {
        check_one_time(purpose, id, &payload, expires, now)?;
        let (inner, key) = (&self.inner, key(purpose, id));
        let text = payload.reveal().as_bytes();
        let put = if text.is_empty() {
            // Nothing to seal. A replay id costs no call of a key provider.
            inner.rows.put_one_time(&key, expires, now, &[], None).await?
        } else {
            let envelope = inner.envelopes.create(identity(&key)).await?;
            let sealed = envelope.seal(expires.as_microsecond().into(), text);
            let sealed = sealed.map_err(|source| fault(inner.rows.place(), purpose, source.into()))?;
            let with = Some(envelope.with());
            inner.rows.put_one_time(&key, expires, now, &sealed, with).await?
        };
        if put {
            return Ok(());
        }
        Err(Error::conflict("one-time record", purpose))
    }

    async fn take(&self, purpose: &str, id: &str, now: Timestamp) -> Result<Option<Secret>> {
        let (inner, key) = (&self.inner, key(purpose, id));
        let Some((expires, row)) = inner.rows.one_time(&key, now).await? else {
            return Ok(None);
        };
        // Opened first, so that a provider that does not answer costs no record.
        let payload = if row.sealed.is_empty() {
            Secret::new("")
        } else {
            let opened = inner
                .envelopes
                .open(identity(&key), expires.into(), &row.sealed, row.wrapped.as_ref())
                .await;
            opened
                .and_then(|text| Ok(text.into_secret()?))
                .map_err(|source| fault(inner.rows.place(), purpose, source))?
        };
        let taken = inner.rows.take_one_time(&key, expires, &row.sealed).await?;
        Ok(taken.then_some(payload))
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64> {
        Ok(self.inner.rows.sweep_one_time(now).await?)
    }
}

/// What a sealed payload is bound to, with its expiry.
pub(crate) fn identity(key: &str) -> Identity<'_> {
    Identity { kind: "one-time", key }
}

/// The key of a record. A digest, because an id can be a secret itself, such as an authorization code.
fn key(purpose: &str, id: &str) -> String {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(&(purpose.len() as u64).to_be_bytes());
    digest.update(purpose.as_bytes());
    digest.update(id.as_bytes());
    let digest = digest.finish();
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fault(place: &str, purpose: &str, source: crate::seal::OpenError) -> SqlError {
    SqlError::Seal {
        place: place.into(),
        action: format!("seal or open a one-time record for {purpose:?}"),
        source: Box::new(source),
    }
}
