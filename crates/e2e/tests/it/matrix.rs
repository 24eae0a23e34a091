//! Every client × every server: through the gateway, all is as it is without it.

use anyhow::{Context, Result};

use crate::client::{Client, Era};
use crate::compare;
use crate::gateway::{Gateway, Naming};
use crate::server::Server;

async fn transparent(server: Server, client: Client, era: Era) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let alone = server.prepare(folder.path(), "direct").await?;
    let direct = client
        .run(client.best_era(), &alone.target, &alone.calls)
        .await
        .context("directly")?;
    drop(alone);

    let behind = server.prepare(folder.path(), "through").await?;
    let gateway = Gateway::start(Naming::Plain, &[("only", &behind.target)]).await?;
    let through = client
        .run(era, &gateway.target, &behind.calls)
        .await
        .context("through the gateway");
    gateway.explain(through.and_then(|through| compare::same(&through, era, &direct)))
}

macro_rules! matrix {
    ($($name:ident: $server:ident,)+) => { $(
        mod $name {
            use super::{Client, Era, Result, Server, transparent};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn rmcp_legacy() -> Result<()> {
                transparent(Server::$server, Client::Rmcp, Era::Legacy).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn rmcp_modern() -> Result<()> {
                transparent(Server::$server, Client::Rmcp, Era::Modern).await
            }

            #[tokio::test]
            async fn sdk1_legacy() -> Result<()> {
                transparent(Server::$server, Client::Sdk1, Era::Legacy).await
            }

            #[tokio::test]
            async fn client2_legacy() -> Result<()> {
                transparent(Server::$server, Client::Client2, Era::Legacy).await
            }

            #[tokio::test]
            async fn client2_modern() -> Result<()> {
                transparent(Server::$server, Client::Client2, Era::Modern).await
            }

            #[tokio::test]
            async fn mcp2_legacy() -> Result<()> {
                transparent(Server::$server, Client::Mcp2, Era::Legacy).await
            }

            #[tokio::test]
            async fn mcp2_modern() -> Result<()> {
                transparent(Server::$server, Client::Mcp2, Era::Modern).await
            }

            #[tokio::test]
            async fn mcp2_left_to_itself() -> Result<()> {
                transparent(Server::$server, Client::Mcp2, Era::Auto).await
            }
        }
    )+ };
}

matrix! {
    everything_over_stdio: EverythingStdio,
    everything_over_http: EverythingHttp,
    filesystem: Filesystem,
    memory: Memory,
    time: Time,
    git: Git,
}
