//! A call that the client gives up is given up at the server too.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::recorder::Recorder;
use crate::server::Server;

async fn cancelled(server: Server, client: Client, era: Era) -> Result<()> {
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

macro_rules! cancelled {
    ($($name:ident: $server:ident, $client:ident, $era:ident;)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> Result<()> {
            cancelled(Server::$server, Client::$client, Era::$era).await
        }
    )+ };
}

cancelled! {
    rmcp_legacy_over_http: EverythingHttp, Rmcp, Legacy;
    rmcp_modern_over_http: EverythingHttp, Rmcp, Modern;
    rmcp_modern_over_stdio: EverythingStdio, Rmcp, Modern;
    sdk1_legacy_over_http: EverythingHttp, Sdk1, Legacy;
    sdk1_legacy_over_stdio: EverythingStdio, Sdk1, Legacy;
    client2_modern_over_http: EverythingHttp, Client2, Modern;
    client2_modern_over_stdio: EverythingStdio, Client2, Modern;
    mcp2_legacy_over_stdio: EverythingStdio, Mcp2, Legacy;
    mcp2_modern_over_http: EverythingHttp, Mcp2, Modern;
    mcp2_modern_over_stdio: EverythingStdio, Mcp2, Modern;
}
