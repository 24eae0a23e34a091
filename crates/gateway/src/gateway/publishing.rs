//! What a gateway serves, and what servers that it does not serve have.

use std::sync::Arc;

use async_trait::async_trait;
use portolan_client::{Client, Tools, UpstreamServer};
use portolan_core::{
    Discovery, Endpoint, Gateway, GatewayName, InstallName, Publication, PublicationChange, Result, ServerName,
    ServerSnapshot, ServerSpec, Source, Tool, UpstreamCredential,
};

use super::McpGateway;

impl McpGateway {
    /// Returns the client that calls servers.
    pub(crate) fn client(&self) -> &Client {
        &self.services.client
    }

    /// Registers a server that was created elsewhere, so that publications find it under its install.
    pub(crate) fn adopt(&self, install: InstallName, upstream: &Arc<UpstreamServer>) {
        self.services.table.adopt(install, upstream);
    }

    /// Takes over a child process, to end it in order with the gateway.
    #[cfg(feature = "process")]
    pub(crate) fn own(&self, child: crate::children::Child) {
        self.services.children.add(child);
    }

    pub(crate) fn publish_now(&self, publication: Publication) -> Result<()> {
        if let Some(republished) = self.services.table.publish(publication)? {
            self.services.subscriptions.republished(&republished);
        }
        Ok(())
    }

    /// Fetches the tools of a server in the background, so that the first client need not wait.
    pub(crate) fn warm(&self, upstream: Arc<UpstreamServer>, credential: Arc<UpstreamCredential>) {
        let ended = self.services.client.ended().clone();
        // No background work that a shutdown waits for: nobody wants the list any more.
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            if let Err(error) = upstream.list::<Tools>(&credential).await {
                tracing::warn!(server = %upstream.spec().name, %error, "a server cannot be asked for its tools yet");
            }
        }));
    }

    /// Returns a server at `endpoint` that is not in the registry.
    fn server_at(&self, endpoint: &Endpoint) -> Result<Arc<UpstreamServer>> {
        // The name stands in messages only.
        let source = Source::Command {
            program: "discovery".into(),
            args: Vec::new(),
            transport: Default::default(),
        };
        let server = Arc::new(ServerSpec::new(ServerName::parse("discovery")?, source)?);
        UpstreamServer::at_endpoint(&self.services.client, server, endpoint.clone()).map(Arc::new)
    }
}

#[async_trait]
impl Gateway for McpGateway {
    async fn publish(&self, publication: Publication) -> Result<()> {
        self.publish_now(publication)
    }

    async fn apply(&self, changes: Vec<PublicationChange>) -> Result<()> {
        for republished in self.services.table.apply(changes)? {
            self.services.subscriptions.republished(&republished);
        }
        Ok(())
    }

    async fn withdraw(&self, name: &GatewayName) -> Result<()> {
        self.services.table.withdraw(name);
        self.services.subscriptions.withdrawn(name);
        Ok(())
    }

    async fn published(&self) -> Result<Vec<GatewayName>> {
        Ok(self.services.table.names())
    }
}

#[async_trait]
impl Discovery for McpGateway {
    async fn snapshot(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<ServerSnapshot> {
        let server = self.server_at(endpoint)?;
        server.fetch_snapshot(&Arc::new(credential.clone())).await
    }

    async fn tools(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<Vec<Tool>> {
        let server = self.server_at(endpoint)?;
        server.fetch_tools(&Arc::new(credential.clone())).await
    }

    async fn tools_snapshot(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<ServerSnapshot> {
        let server = self.server_at(endpoint)?;
        server.fetch_tools_snapshot(&Arc::new(credential.clone())).await
    }
}
