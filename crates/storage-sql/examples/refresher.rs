//! Refreshes one credential over and over, as one replica of several.
//!
//! The tests run several of these on one database and kill some. `refresher <address> <schema> <key file> <provider> <rounds>`: the
//! provider is a directory in which each token is a file. An exchange of token 7 renames `7` to `7.spent`, so a second one
//! fails, and is written down as `7.reused`. When the user has to sign in again, a token is made past the provider's
//! exchange, as a sign-in does.
#![expect(clippy::print_stdout, reason = "this is how it says what it did")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Error, ExchangeError, Precondition, RefreshError, RefreshGuard,
    RefreshOptions, Result, Secret, SystemClock,
};
use portolan_storage_sql::{SealingKeys, SqlConfig, SqlStore};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, schema, keys, provider, rounds] = arguments.as_slice() else {
        return Err(Error::invalid(
            "arguments",
            "are <address> <schema> <key file> <provider> <rounds>",
        ));
    };
    let keys = SealingKeys::load_or_create(keys)?;
    let config = SqlConfig::new().with_schema(schema);
    let store = SqlStore::connect_with(address, &config, keys, Arc::new(SystemClock)).await?;
    let options = RefreshOptions::default().with_lease(Duration::from_secs(2));
    let guard = RefreshGuard::new(Arc::new(store.clone()), Arc::new(SystemClock), options);
    let key = CredentialKey::parse("provider/token")?;
    for round in 0..rounds.parse().unwrap_or(1) {
        let Some(current) = store.read(&key).await? else {
            sign_in(&store, &key, Path::new(provider), Precondition::Absent).await?;
            continue;
        };
        let directory = PathBuf::from(provider);
        let exchange = move |token: Secret| async move { exchange(&directory, &token).await };
        match guard.refresh(&key, current.version, exchange).await {
            Ok(_) => say(&format!("refreshed {round}"))?,
            Err(error) if error.needs_sign_in() => {
                say(&format!("sign-in {error}"))?;
                let refused = matches!(error, RefreshError::Refused { .. });
                sign_in(
                    &store,
                    &key,
                    Path::new(provider),
                    Precondition::Version(current.version),
                )
                .await?;
                if refused {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    say("done")
}

/// Spends a token at the provider, and gives the next one.
async fn exchange(provider: &Path, token: &Secret) -> Result<Secret, ExchangeError> {
    let token = token.reveal();
    let spent = provider.join(format!("{token}.spent"));
    if std::fs::rename(provider.join(token), &spent).is_err() {
        // Best effort: the error below is told too.
        let _ = std::fs::write(provider.join(format!("{token}.reused")), "");
        return Err(ExchangeError::Refused {
            message: format!("{token} was presented again"),
        });
    }
    // As long as an answer takes, so that there is time to die between it and the write.
    tokio::time::sleep(Duration::from_millis(5)).await;
    issue(provider).map_err(ExchangeError::Unknown)
}

/// Makes a token that the provider accepts once.
fn issue(provider: &Path) -> Result<Secret> {
    let token = portolan_core::InstallName::new(&SystemClock).to_string();
    std::fs::write(provider.join(&token), "").map_err(|e| Error::invalid("provider", e.to_string()))?;
    Ok(Secret::new(token))
}

/// Signs in again, unless somebody else has.
async fn sign_in(store: &SqlStore, key: &CredentialKey, provider: &Path, when: Precondition) -> Result<()> {
    match store.put(key, issue(provider)?, when).await {
        Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn say(what: &str) -> Result<()> {
    println!("{what}");
    std::io::stdout()
        .flush()
        .map_err(|e| Error::invalid("standard output", e.to_string()))
}
