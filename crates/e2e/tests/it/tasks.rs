//! A tool that a real server does only as a task: for a client that has tasks, and for those that know none.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::host::Host;

/// What the client says when it is asked which of three it means.
const MEANT: &str = "historical";

/// The outcome of one call, done as `how` says. An ambiguous one asks its client once.
async fn research(host: Host, client: Client, era: Era, how: &str, ambiguous: bool) -> Result<Value> {
    let server = host.start().await?;
    let gateway = Gateway::start_with(Naming::Plain, &[("only", &server.target)], &["--asks-all"]).await?;
    let list = json!({ "do": "list", "what": "tools" });
    let arguments = json!({ "topic": "tea", "ambiguous": ambiguous });
    let call = json!({ "do": how, "name": "simulate-research-query", "arguments": arguments });
    let script = json!({
        "answers": {
            "elicit": { "*": { "action": "accept", "content": { "interpretation": MEANT } } },
            "sample": { "role": "assistant", "content": { "type": "text", "text": "" }, "model": "none" },
            "roots": [],
        },
        "operations": [list, call],
    });
    let played = client.play(era, &gateway.target, &script).await;
    let outcome = played.and_then(|mut outcomes| outcomes.pop().context("nothing was done"));
    gateway.explain(outcome)
}

fn report(outcome: &Value) -> Result<&str> {
    let text = outcome["result"]["content"][0]["text"].as_str().unwrap_or_default();
    ensure!(text.starts_with("# Research Report: tea"), "{outcome:#}");
    Ok(text)
}

/// TypeScript's first SDK has the tasks of 2025-11-25.
async fn as_a_task(host: Host) -> Result<()> {
    let outcome = research(host, Client::Sdk1, Era::Legacy, "task", true).await?;
    ensure!(report(&outcome)?.contains(MEANT), "{outcome:#}");
    let seen = outcome["result"]["seen"].as_array().context("what was seen")?;
    ensure!(seen.first() == Some(&json!("taskCreated")), "{seen:?}");
    ensure!(seen.contains(&json!("input_required")), "{seen:?}");
    Ok(())
}

async fn driven(client: Client, host: Host) -> Result<()> {
    let outcome = research(host, client, Era::Modern, "call", false).await?;
    report(&outcome).map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_server_tasks() -> Result<()> {
    as_a_task(Host::NpmHttp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stdio_server_tasks() -> Result<()> {
    as_a_task(Host::NpmStdio).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driven_task_sends_request() -> Result<()> {
    let outcome = research(Host::NpmHttp, Client::Client2, Era::Modern, "call", true).await?;
    ensure!(report(&outcome)?.contains(MEANT), "{outcome:#}");
    Ok(())
}

portolan_fixtures::matrix! {
    driven: { rmcp(Client::Rmcp), typescript(Client::Client2), python(Client::Mcp2) } x {
        http_server(Host::NpmHttp),
        stdio_server(Host::NpmStdio),
    }
}
