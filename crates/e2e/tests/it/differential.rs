//! Sends the same requests to a server of `rmcp` and to the gateway before it, and compares the responses; differences are listed.
//!
//! Two things are no difference. Whether an answer comes as JSON or as events is for the server to choose (2026-07-28 and
//! 2025-11-25, basic/transports). And what stands in the body of a request refused as HTTP is nowhere prescribed: `rmcp`
//! explains itself in text, the gateway by a JSON-RPC error.

mod ask;
mod expected;
mod legacy;
mod modern;
mod side;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use self::ask::Ask;
use self::expected::Expected;
use self::side::{Answer, Side};
use crate::gateway::{Gateway, Naming};
use crate::rmcp_server::RmcpServer;
use crate::server::Target;

async fn differ(asks: Vec<Ask>, expected: &[Expected]) -> Result<()> {
    let server = RmcpServer::start().await?;
    let behind = RmcpServer::start().await?;
    let target = |server: &RmcpServer| Target::Http {
        url: server.url(),
        token: String::new(),
    };
    let gateway = Gateway::start_with(Naming::Plain, &[("only", &target(&behind))], &["--asks-all"]).await?;
    let (direct, through) = (Side::open(&target(&server)).await?, Side::open(&gateway.target).await?);
    let mut expected: BTreeMap<&str, &Expected> = expected.iter().map(|one| (one.name, one)).collect();
    let mut problems = Vec::new();
    for ask in &asks {
        let (direct, through) = tokio::join!(direct.answer(ask), through.answer(ask));
        let (direct, through) = (direct?, through?);
        let difference = difference(&direct, &through);
        match (difference, expected.remove(ask.name.as_str())) {
            (None, None) => {}
            (Some(difference), Some(expected)) if difference == expected.what => {}
            (difference, expected) => problems.push(format!(
                "{}: {difference:?} differs, and {:?} is expected to\n  direct:  {}\n  through: {}",
                ask.name,
                expected.map(|expected| expected.what),
                shown(&direct),
                shown(&through),
            )),
        }
    }
    for stale in expected.keys() {
        problems.push(format!("{stale}: no such request"));
    }
    gateway.explain((|| {
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(())
    })())
}

fn shown(answer: &Answer) -> String {
    let messages: Vec<String> = answer.messages.iter().map(ToString::to_string).collect();
    format!("{} {:?} {}", answer.status, answer.kind, messages.join(" "))
}

/// What differs, in the words of the table.
fn difference(direct: &Answer, through: &Answer) -> Option<&'static str> {
    let is_json = |answer: &Answer| !answer.messages.is_empty();
    let refused_as_http = direct.status >= 400 && !(is_json(direct) && is_json(through));
    if direct.status != through.status {
        Some("status")
    } else if direct.session != through.session {
        Some("session")
    } else if direct.challenge != through.challenge {
        Some("challenge")
    } else if refused_as_http {
        None
    } else if (direct.kind.is_none()) != (through.kind.is_none()) {
        Some("body")
    } else if direct.messages != through.messages {
        Some("messages")
    } else {
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_server() -> Result<()> {
    differ(legacy::asks(), expected::LEGACY).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modern_server() -> Result<()> {
    differ(modern::asks(), expected::MODERN).await
}
