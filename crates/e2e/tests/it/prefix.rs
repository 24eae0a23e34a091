//! With prefixed names, a tool is called `SERVER__TOOL`, and behaves as before.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::client::{Client, Era};
use crate::compare;
use crate::gateway::{Gateway, Naming};
use crate::server::Server;

async fn prefixed(client: Client, era: Era) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::EverythingStdio.prepare(folder.path(), "prefixed").await?;
    let direct = client.run(client.best_era(), &server.target, &server.calls).await?;

    let gateway = Gateway::start(Naming::Prefix, &[("all", &server.target)]).await?;
    let mut calls = server.calls.clone();
    rename(&mut calls, "all");
    let through = client.run(era, &gateway.target, &calls).await;
    gateway.explain(through.and_then(|through| {
        let mut expected: Vec<String> = direct.tool_names().iter().map(|name| format!("all__{name}")).collect();
        expected.sort_unstable();
        let for_people = compare::FOR_PEOPLE.map(|name| format!("all__{name}"));
        let mut names = through.tool_names();
        names.retain(|name| expected.iter().any(|known| known == name) || for_people.iter().all(|known| known != name));
        ensure!(names == expected, "{names:?}");
        let failures = |results: &[Value]| results.iter().map(failed).collect::<Vec<_>>();
        ensure!(
            failures(&through.results) == failures(&direct.results),
            "{:#?}",
            through.results
        );
        ensure!(through.results[0]["result"]["content"] == direct.results[0]["result"]["content"]);
        Ok(())
    }))
}

fn failed(outcome: &Value) -> bool {
    outcome["result"]["isError"] == true || outcome.get("error").is_some()
}

/// Puts the prefix of a server before each called name.
pub(crate) fn rename(calls: &mut Value, prefix: &str) {
    for call in calls.as_array_mut().into_iter().flatten() {
        call["name"] = format!("{prefix}__{}", call["name"].as_str().unwrap_or_default()).into();
    }
}

portolan_fixtures::matrix! {
    prefixed: {
        rmcp_modern(Client::Rmcp, Era::Modern),
        sdk1_legacy(Client::Sdk1, Era::Legacy),
        client2_modern(Client::Client2, Era::Modern),
        mcp2_modern(Client::Mcp2, Era::Modern),
    }
}
