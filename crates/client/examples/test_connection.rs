//! Tests the connection to a server at a URL: prints what it says about itself, its era and its tools.
//!
//! ```text
//! cargo run -p portolan-client --example test_connection -- https://mcp.example.com/mcp [--token TOKEN]
//! ```
//!
//! Exits with 0 if the server can be used, with 1 if not, with 64 for wrong arguments.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

use std::{process::ExitCode, sync::Arc};

use lexopt::prelude::*;
use portolan_client::{Client, ClientConfig, Error, Tools, UpstreamCredential, UpstreamServer};
use portolan_core::Secret;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (url, credential) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\nusage: test_connection URL [--token TOKEN]");
            return ExitCode::from(64);
        }
    };
    match test(&url, &Arc::new(credential)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::FAILURE
        }
    }
}

async fn test(url: &str, credential: &Arc<UpstreamCredential>) -> Result<(), Error> {
    let client = Client::new(ClientConfig::default().with_name("test_connection"));
    let server = UpstreamServer::at_url(&client, url)?;
    let info = server.connect(credential).await?;
    let name = info.name.as_deref().unwrap_or("a server without a name");
    println!("{name} {}", info.version.as_deref().unwrap_or_default());
    println!("protocol {} ({:?} era)", info.protocol_version, info.era());
    if let Some(instructions) = &info.instructions {
        println!("instructions: {instructions}");
    }
    let tools = server.list::<Tools>(credential).await?;
    println!("{} tools", tools.items.iter().count());
    for tool in tools.items.iter() {
        println!("  {}", tool.name());
    }
    client.closed().await;
    Ok(())
}

fn arguments() -> Result<(String, UpstreamCredential), lexopt::Error> {
    let (mut url, mut credential) = (None, UpstreamCredential::none());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("token") => {
                let value = Secret::new(format!("Bearer {}", parser.value()?.string()?));
                credential = credential.with_header(http::header::AUTHORIZATION, value);
            }
            Value(value) if url.is_none() => url = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((url.ok_or("a URL is missing")?, credential))
}
