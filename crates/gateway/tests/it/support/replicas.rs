//! Replicas of one gateway that can be killed, and a balancer that knows only which of them are there.

use std::cell::Cell;

use portolan_core::ServerRequestPolicy;

use super::{
    client::{Client, ClientVersion},
    gateway::{TestGateway, TestGatewayBuilder},
};

/// Two replicas of one gateway, each on threads of its own.
pub(crate) struct Replicas {
    all: [Option<TestGateway>; 2],
    next: Cell<usize>,
}

impl Replicas {
    /// Starts them in front of a server, `up`.
    pub(crate) async fn with_server(url: impl Into<String>) -> Self {
        Self::start(TestGateway::builder().server("up", url)).await
    }

    pub(crate) async fn start(builder: TestGatewayBuilder<'_>) -> Self {
        let builder = builder.server_requests(ServerRequestPolicy::ALL).own_threads();
        Self {
            all: builder.start_replicas_with_bus().await.map(Some),
            next: Cell::default(),
        }
    }

    pub(crate) fn first(&self) -> &TestGateway {
        self.all[0].as_ref().expect("it is there")
    }

    pub(crate) fn second(&self) -> &TestGateway {
        self.all[1].as_ref().expect("it is there")
    }

    pub(crate) fn kill_first(&mut self) {
        self.all[0] = None;
    }

    pub(crate) fn kill_second(&mut self) {
        self.all[1] = None;
    }

    /// The client, sent to the replica whose turn it is.
    pub(crate) fn route(&self, client: &Client) -> Client {
        loop {
            let turn = self.next.get();
            self.next.set(turn + 1);
            if let Some(replica) = &self.all[turn % self.all.len()] {
                return client.at(replica.address);
            }
        }
    }

    /// A client after its handshake with the first.
    pub(crate) async fn connect(&self, version: ClientVersion, capabilities: &str) -> Client {
        self.first().connect_with(version, capabilities).await
    }
}
