//! Works on a store until it is done or killed, and says on standard output what was acknowledged.
//!
//! The tests run several of these on one database. `writer <address> <schema> <key file> <task> <argument>`:
//!
//! - `open -` opens the store;
//! - `fill <tag>` puts records and secrets with numbered names for ever;
//! - `count <times>` adds one to a record so many times;
//! - `swap <times>` reads a record or replaces it by compare-and-set so many times, and prints the history.
#![expect(clippy::print_stdout, reason = "this is how it says what was acknowledged")]

use std::{io::Write, sync::Arc};

use portolan_core::{
    Clock, CredentialKey, CredentialStore, Error, Key, Precondition, Registry, RegistryExt, Result, Secret, ServerName,
    ServerSpec, SystemClock, Version,
};
use portolan_storage_sql::{SealingKeys, SqlConfig, SqlStore};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, schema, keys, task, how] = arguments.as_slice() else {
        return Err(Error::invalid(
            "arguments",
            "are <address> <schema> <key file> open|fill|count|swap <argument>",
        ));
    };
    let keys = SealingKeys::load_or_create(keys)?;
    let config = SqlConfig::new().with_schema(schema);
    let store = SqlStore::connect_with(address, &config, keys, Arc::new(SystemClock)).await?;
    match task.as_str() {
        "open" => Ok(()),
        "fill" => fill(&store, how).await,
        "swap" => swap(&store, how.parse().unwrap_or(1)).await,
        _ => count(&store, how.parse().unwrap_or(1)).await,
    }
}

async fn fill(store: &SqlStore, tag: &str) -> Result<()> {
    for number in 0.. {
        let name = format!("{tag}-{number}");
        let server = ServerSpec::command(&name, "uvx", [&name])?;
        Registry::put(store, server.into(), Precondition::Absent).await?;
        let key = CredentialKey::parse(format!("kill/{name}"))?;
        CredentialStore::put(
            store,
            &key,
            Secret::new(format!("secret of {name}")),
            Precondition::Absent,
        )
        .await?;
        println!("{name}");
        std::io::stdout()
            .flush()
            .map_err(|e| Error::invalid("standard output", e.to_string()))?;
    }
    Ok(())
}

async fn count(store: &SqlStore, times: usize) -> Result<()> {
    let key = Key::Server(ServerName::parse("counter")?);
    let mut done = 0;
    while done < times {
        let added = store.update(&key, |old: Option<ServerSpec>| {
            let mut server = old.map_or_else(|| ServerSpec::command("counter", "uvx", [""; 0]), Ok)?;
            let count: usize = server.description.as_deref().unwrap_or("0").parse().unwrap_or(0);
            server.description = Some((count + 1).to_string());
            Ok(Some(server))
        });
        match added.await {
            Ok(_) => done += 1,
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    println!("done");
    Ok(())
}

/// Prints one line for each operation: `<begun> <ended> read <version>`, `… swapped <expected> <new>` or `… lost <expected>`,
/// with times in nanoseconds and 0 for the version of a record that is not there.
async fn swap(store: &SqlStore, times: usize) -> Result<()> {
    let key = Key::Server(ServerName::parse("register")?);
    let server = ServerSpec::command("register", "uvx", [""; 0])?;
    let now = || SystemClock.now().as_nanosecond();
    for _ in 0..times {
        let begun = now();
        let seen = store.get(&key).await?.map(|found| found.version);
        println!("{begun} {} read {}", now(), number(seen));
        let when = seen.map_or(Precondition::Absent, Precondition::Version);
        let begun = now();
        match Registry::put(store, server.clone().into(), when).await {
            Ok(new) => println!("{begun} {} swapped {} {}", now(), number(seen), number(Some(new))),
            Err(Error::Conflict { .. }) => println!("{begun} {} lost {}", now(), number(seen)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn number(version: Option<Version>) -> u64 {
    version.map_or(0, |version| version.0.get())
}
