//! Several servers behind one gateway look like one.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::prefix::rename;
use crate::server::Server;

async fn merged(client: Client, era: Era) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Server::EverythingHttp.prepare(folder.path(), "first").await?;
    let second = Server::EverythingHttp.prepare(folder.path(), "second").await?;
    let third = Server::Git.prepare(folder.path(), "third").await?;
    let behind = [
        ("zulu", &first.target),
        ("alpha", &second.target),
        ("git", &third.target),
    ];
    let gateway = Gateway::start(Naming::Prefix, &behind).await?;

    let mut calls = Vec::new();
    for (name, server) in [("zulu", &first), ("git", &third), ("alpha", &second)] {
        let mut part = json!([server.calls[0]]);
        rename(&mut part, name);
        calls.extend(part.as_array().cloned().unwrap_or_default());
    }
    let seen = client.run(era, &gateway.target, &Value::Array(calls)).await;
    gateway.explain(seen.and_then(|seen| {
        let names = seen.tool_names();
        ensure!(names.is_sorted(), "the tools are not sorted by name: {names:?}");
        for prefix in ["alpha__", "git__", "zulu__"] {
            ensure!(
                names.iter().any(|name| name.starts_with(prefix)),
                "no tool of {prefix}: {names:?}"
            );
        }
        for outcome in &seen.results {
            ensure!(outcome["result"]["content"].is_array(), "{outcome:#}");
            ensure!(outcome["result"]["isError"] != true, "{outcome:#}");
        }
        ensure!(seen.results[0]["result"]["content"] == seen.results[2]["result"]["content"]);
        Ok(())
    }))
}

portolan_fixtures::matrix! {
    merged: {
        rmcp_modern(Client::Rmcp, Era::Modern),
        sdk1_legacy(Client::Sdk1, Era::Legacy),
        client2_modern(Client::Client2, Era::Modern),
        mcp2_modern(Client::Mcp2, Era::Modern),
    }
}
