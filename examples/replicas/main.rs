//! Two replicas of one platform over one PostgreSQL, behind a balancer that knows nothing of MCP. One is killed while calls
//! run: the calls that it held are lost, and every later one is served by the other, also those of sessions that began at the
//! replica that is gone.
//!
//! ```text
//! cargo run --example replicas --features postgres -- postgres://user:password@127.0.0.1/database
//! ```
//!
//! The database may be empty or one of an earlier run. The keys that seal its secrets are in `portolan.keys` in the working
//! directory; all replicas need the same.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

mod balancer;
mod clients;
mod replica;

use std::{process::ExitCode, sync::Arc, time::Duration};

use portolan::{Owner, Platform, Selection, ServerSpec, wire::era::Era};
use portolan_fixtures::everything::{Everything, Options};

use crate::{balancer::Balancer, clients::Clients, replica::Replica};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Calls before, between and after what happens to the replicas, by each client.
const CALLS: usize = 100;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--replica", database] => replica::serve(database).await,
        [database] if database.starts_with("postgres") => run(database).await,
        _ => {
            eprintln!("usage: replicas postgres://user:password@host/database");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(database: &str) -> Result<()> {
    let server = Everything::start(Options::default()).await?;
    let token = set_up(database, &server.url()).await?;

    let (mut first, second) = tokio::try_join!(Replica::start(database), Replica::start(database))?;
    println!("replicas at {} and {}", first.address, second.address);
    let balancer = Arc::new(Balancer::start([first.address, second.address]).await?);
    let url = format!("http://{}/mcp/default", balancer.address());
    println!("balancer at {url}");

    let legacy = Clients::connect(&url, &token, Era::Legacy).await?;
    let modern = Clients::connect(&url, &token, Era::Modern).await?;
    let both = async |what: &str| {
        let (legacy, modern) = tokio::join!(legacy.call(CALLS), modern.call(CALLS));
        println!("{what}: legacy clients {legacy}, modern clients {modern}");
        legacy.failed + modern.failed
    };
    let mut lost_later = both("both replicas up").await;

    let (_, killed) = tokio::join!(both("one is killed"), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        first.kill().await
    });
    killed?;
    lost_later += both("one replica left").await;

    let third = Replica::start(database).await?;
    balancer.replace(first.address, third.address);
    lost_later += both("a new replica beside it").await;

    drop((second, third));
    if lost_later == 0 {
        println!("no call was lost but those that the killed replica held");
        return Ok(());
    }
    Err(format!("{lost_later} calls were lost while no replica was killed").into())
}

/// Puts the server, an install and a gateway into the database, as an administrator would, and returns a token.
async fn set_up(database: &str, url: &str) -> Result<String> {
    let platform = Platform::local(database).await?;
    let server = platform.add(ServerSpec::remote("everything", url)?).await?;
    platform.install(&server, Owner::Org).await?;
    let gateway = platform.gateway("default").select(Selection::All).await?;
    let token = platform.rotate_token(&gateway, Owner::Org, "replicas").await?;
    platform.shutdown(Duration::from_secs(5)).await?;
    Ok(token.reveal().to_owned())
}
