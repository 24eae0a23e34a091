//! Replicas of one gateway that can be killed, and a balancer that knows nothing of them but who is there.

use std::{cell::Cell, net::SocketAddr, sync::Arc};

use portolan_core::{
    Route, ServerRequestPolicy,
    memory::{MemoryBus, MemorySessions},
};
use portolan_gateway::{GatewayParts, McpGateway, TokenKeys};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{
    client::{Client, Speaks},
    world::{parts, publish_routes, routes},
};

/// A replica on threads of its own.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: McpGateway,
    runtime: Option<Runtime>,
}

impl Replica {
    async fn start(change: impl FnOnce(&mut GatewayParts), routes: Vec<Route>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("an address");
        let mut parts = parts();
        parts.config.replica = Some(format!("http://{address}/mcp").parse().expect("a URL"));
        change(&mut parts);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let starting = runtime.spawn(async move {
            let gateway = McpGateway::new(parts);
            publish_routes(&gateway, "default", routes).await;
            let listener = TcpListener::from_std(listener).expect("a listener");
            tokio::spawn(portolan_gateway::serve(
                listener,
                gateway.clone(),
                std::future::pending(),
            ));
            gateway
        });
        Self {
            address,
            gateway: starting.await.expect("started"),
            runtime: Some(runtime),
        }
    }
}

/// All at once: sockets are closed, and nothing more is said to anybody.
impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Two replicas of one gateway.
pub(crate) struct Replicas {
    all: [Option<Replica>; 2],
    next: Cell<usize>,
}

impl Replicas {
    pub(crate) async fn of(servers: &[(&str, &str)]) -> Self {
        Self::with(servers, |_, _| {}).await
    }

    /// With other parts; `change` is told which replica they are of.
    pub(crate) async fn with(servers: &[(&str, &str)], change: impl Fn(usize, &mut GatewayParts)) -> Self {
        let (sessions, bus) = (Arc::new(MemorySessions::default()), Arc::new(MemoryBus::new()));
        let routes = routes(servers, ServerRequestPolicy::ALL);
        let start = |number: usize| {
            let (sessions, bus, change) = (sessions.clone(), bus.clone(), &change);
            let common = move |parts: &mut GatewayParts| {
                parts.keys = TokenKeys::new(1, &[9; 32]).expect("keys");
                parts.sessions = sessions;
                parts.bus = Some(bus);
                change(number, parts);
            };
            Replica::start(common, routes.clone())
        };
        Self {
            all: [Some(start(0).await), Some(start(1).await)],
            next: Cell::default(),
        }
    }

    pub(crate) fn first(&self) -> &Replica {
        self.all[0].as_ref().expect("it lives")
    }

    pub(crate) fn second(&self) -> &Replica {
        self.all[1].as_ref().expect("it lives")
    }

    pub(crate) fn kill_first(&mut self) {
        self.all[0] = None;
    }

    /// The client, sent to the replica whose turn it is.
    pub(crate) fn turn(&self, client: &Client) -> Client {
        loop {
            let turn = self.next.get();
            self.next.set(turn + 1);
            if let Some(replica) = &self.all[turn % self.all.len()] {
                return client.at(replica.address);
            }
        }
    }

    /// A client that has come to the first.
    pub(crate) async fn client(&self, speaks: Speaks, abilities: &str) -> Client {
        Client::able(self.first().address, speaks, abilities).await
    }
}
