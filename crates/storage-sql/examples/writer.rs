//! Writes to a store until it is done or killed, and says on standard output what was acknowledged.
//!
//! The tests run several of these on one file. `writer <database> <key file> fill <tag>` puts records and secrets with
//! numbered names for ever; `writer <database> <key file> count <times>` adds one to a record so many times.
#![expect(clippy::print_stdout, reason = "this is how it says what was acknowledged")]

use std::{io::Write, sync::Arc};

use portolan_core::{
    CredentialKey, CredentialStore, Error, Key, Precondition, Registry, RegistryExt, Result, Secret, ServerName,
    ServerSpec, SystemClock,
};
use portolan_storage_sql::{SealingKeys, SqlStore};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, keys, task, how] = arguments.as_slice() else {
        return Err(Error::invalid(
            "arguments",
            "are <database> <key file> fill|count <tag|times>",
        ));
    };
    let keys = SealingKeys::load_or_create(keys)?;
    let store = SqlStore::open(database, keys, Arc::new(SystemClock)).await?;
    match task.as_str() {
        "fill" => fill(&store, how).await,
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
