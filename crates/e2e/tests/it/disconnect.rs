//! A client that is gone in the middle of its call, and one that comes after it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::host::Host;
use crate::recorder::Recorder;
use crate::server::Target;

fn script(tool: &str, arguments: Value) -> Value {
    json!({ "operations": [
        { "do": "list", "what": "tools" },
        { "do": "call", "name": tool, "arguments": arguments },
    ] })
}

/// At a legacy server: a modern call ends with its client, a legacy one does not (2025-11-25, basic/transports).
async fn legacy_server(client: Client, era: Era) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Host::NpmHttp.start().await?;
    let (to_server, recorded) = Recorder::before(&server.target, &folder.path().join("to-server")).await?;
    let gateway = Gateway::start(Naming::Plain, &[("only", &recorded)]).await?;
    let long = script("trigger-long-running-operation", json!({ "duration": 20, "steps": 40 }));
    let gone = client.start(era, &gateway.target, &long).await?;
    let judged = async {
        to_server.called().await?;
        drop(gone);
        if era == Era::Modern {
            to_server.cancelled().await?;
        }
        again(client, era, &gateway.target, "echo", json!({ "message": "again" })).await?;
        let cancelled = to_server.sent().contains("notifications/cancelled");
        ensure!(cancelled == (era == Era::Modern), "cancelled: {cancelled}");
        Ok(())
    };
    gateway.explain(judged.await)
}

/// At a modern server, which sees the stream of the call close.
async fn modern_server(client: Client) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Host::FixtureModern.start().await?;
    let (to_server, recorded) = Recorder::before(&server.target, &folder.path().join("to-server")).await?;
    let gateway = Gateway::start(Naming::Plain, &[("only", &recorded)]).await?;
    let long = script("slow_compute", json!({ "seconds": 60 }));
    let gone = client.start(Era::Modern, &gateway.target, &long).await?;
    let judged = async {
        to_server.called().await?;
        drop(gone);
        let given_up = async {
            while server.cancelled() == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        ensure!(
            tokio::time::timeout(Duration::from_secs(10), given_up).await.is_ok(),
            "the call goes on at the server"
        );
        again(client, Era::Modern, &gateway.target, "test_simple_text", json!({})).await
    };
    gateway.explain(judged.await)
}

/// The client comes back, and is served.
async fn again(client: Client, era: Era, target: &Target, tool: &str, arguments: Value) -> Result<()> {
    let outcomes = client.play(era, target, &script(tool, arguments)).await?;
    let served = outcomes
        .get(1)
        .is_some_and(|outcome| outcome["result"]["content"].is_array());
    ensure!(served, "{outcomes:?}");
    Ok(())
}

portolan_fixtures::matrix! {
    legacy_server: {
        sdk1_legacy_from_legacy_server(Client::Sdk1, Era::Legacy),
        client2_legacy_from_legacy_server(Client::Client2, Era::Legacy),
        client2_modern_from_legacy_server(Client::Client2, Era::Modern),
        mcp2_legacy_from_legacy_server(Client::Mcp2, Era::Legacy),
        mcp2_modern_from_legacy_server(Client::Mcp2, Era::Modern),
    }
}

portolan_fixtures::matrix! {
    modern_server: {
        client2_modern_from_modern_server(Client::Client2),
        mcp2_modern_from_modern_server(Client::Mcp2),
    }
}
