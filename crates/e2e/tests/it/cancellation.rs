//! A call that the client gives up is given up at the server too.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::recorder::Recorder;
use crate::server::Server;

async fn cancels(server: Server, client: Client, era: Era) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server.prepare(folder.path(), "cancel").await?;
    let (to_server, recorded) = Recorder::before(&server.target, &folder.path().join("to-server")).await?;
    let gateway = Gateway::start(Naming::Plain, &[("only", &recorded)]).await?;
    let calls = json!([{
        "name": "trigger-long-running-operation", "arguments": { "duration": 20, "steps": 40 }, "cancelAfterMs": 1500
    }]);
    let (to_gateway, front) = Recorder::before(&gateway.target, &folder.path().join("to-gateway")).await?;
    let seen = client.run(era, &front, &calls).await;
    let outcome = async {
        let seen = seen?;
        ensure!(
            seen.results[0].get("error").is_some(),
            "the call was not cancelled: {:?}",
            seen.results
        );
        to_server
            .cancelled()
            .await
            .with_context(|| format!("the client sent\n{}", to_gateway.sent()))
    };
    gateway.explain(outcome.await)
}

portolan_fixtures::matrix! {
    cancels: {
        rmcp_legacy_over_http(Server::EverythingHttp, Client::Rmcp, Era::Legacy),
        rmcp_modern_over_http(Server::EverythingHttp, Client::Rmcp, Era::Modern),
        rmcp_modern_over_stdio(Server::EverythingStdio, Client::Rmcp, Era::Modern),
        sdk1_legacy_over_http(Server::EverythingHttp, Client::Sdk1, Era::Legacy),
        sdk1_legacy_over_stdio(Server::EverythingStdio, Client::Sdk1, Era::Legacy),
        client2_modern_over_http(Server::EverythingHttp, Client::Client2, Era::Modern),
        client2_modern_over_stdio(Server::EverythingStdio, Client::Client2, Era::Modern),
        mcp2_legacy_over_stdio(Server::EverythingStdio, Client::Mcp2, Era::Legacy),
        mcp2_modern_over_http(Server::EverythingHttp, Client::Mcp2, Era::Modern),
        mcp2_modern_over_stdio(Server::EverythingStdio, Client::Mcp2, Era::Modern),
    }
}
