//! The gateway in the role of the client, for the official suite.
//!
//! ```text
//! MCP_CONFORMANCE_SCENARIO=tools_call conformance_client http://localhost:40123/mcp
//! ```
//!
//! The suite is the server and looks at what it is sent. What sends it is a gateway in front of that server; what makes
//! the gateway send it is a small client of the era under test, which lists and uses all that it is offered.

#![expect(clippy::print_stderr, reason = "a program for a runner that shows what it says")]

mod consent;
mod front;
mod mirror;
mod oauth;
mod person;
mod scenario;
mod site;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::{front::Era, front::Front, oauth::Identity, site::Site};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let task = Task::read()?;
    let site = Site::open(&task.url, task.identity()?).await?;
    let done = match Front::connect(site.url(), site.token(), task.era).await {
        Ok(front) => scenario::play(&task, &front).await,
        Err(error) => Err(error),
    };
    site.close().await;
    done
}

/// What the runner wants.
struct Task {
    scenario: String,
    era: Era,
    /// What the scenario hands over: credentials, calls to make.
    context: Value,
    /// Its server.
    url: String,
}

impl Task {
    fn read() -> Result<Self> {
        let context = match variable("MCP_CONFORMANCE_CONTEXT") {
            Some(text) => serde_json::from_str(&text).context("the context is no JSON")?,
            None => Value::Null,
        };
        Ok(Self {
            scenario: variable("MCP_CONFORMANCE_SCENARIO").unwrap_or_default(),
            era: match variable("MCP_CONFORMANCE_PROTOCOL_VERSION").as_deref() {
                Some("2026-07-28") => Era::Modern,
                Some("2025-11-25") | None => Era::Legacy,
                Some(other) => bail!("this client speaks 2025-11-25 and 2026-07-28, not {other}"),
            },
            context,
            url: std::env::args().next_back().context("the server's URL is missing")?,
        })
    }

    /// The client that the authorization server knows already, if any.
    fn identity(&self) -> Result<Option<Identity>> {
        let text = |key: &str| self.context[key].as_str().map(str::to_owned);
        let Some(client_id) = text("client_id") else {
            return Ok(None);
        };
        Ok(Some(Identity {
            client_id,
            client_secret: text("client_secret"),
            issuer: text("issuer").context("a client that is known to nobody in particular")?,
        }))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runner says in the environment what it wants"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
