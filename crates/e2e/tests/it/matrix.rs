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

portolan_fixtures::matrix! {
    transparent: {
        everything_over_stdio(Server::EverythingStdio),
        everything_over_http(Server::EverythingHttp),
        filesystem(Server::Filesystem),
        memory(Server::Memory),
        time(Server::Time),
        git(Server::Git),
    } x {
        rmcp_legacy(Client::Rmcp, Era::Legacy),
        rmcp_modern(Client::Rmcp, Era::Modern),
        sdk1_legacy(Client::Sdk1, Era::Legacy),
        client2_legacy(Client::Client2, Era::Legacy),
        client2_modern(Client::Client2, Era::Modern),
        mcp2_legacy(Client::Mcp2, Era::Legacy),
        mcp2_modern(Client::Mcp2, Era::Modern),
        mcp2_default(Client::Mcp2, Era::Auto),
    }
}
