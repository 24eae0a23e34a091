//! The suites on the backends in memory.

use std::sync::Arc;

use portolan_core::{
    Endpoint, Failure, FailureKind, HttpEndpoint, Owner, RunSpec, Status, SystemClock,
    conformance::{runtime::Fixture, sample},
    memory::{MemoryBus, MemoryCredentials, MemoryGateway, MemoryRegistry, MemoryRuntime, MemorySessions},
};

portolan_core::conformance::registry_suite!(|| MemoryRegistry::new());
portolan_core::conformance::credential_suite!(|| MemoryCredentials::new());
portolan_core::conformance::session_suite!(|| MemorySessions::new());
portolan_core::conformance::bus_suite!(|| MemoryBus::new());
portolan_core::conformance::gateway_suite!(|| MemoryGateway::new());
portolan_core::conformance::runtime_suite!(|| memory_runtime());

/// The same once more as hosts hold them, and made by a future.
mod shared {
    use portolan_core::{Bus, CredentialStore, Gateway, Registry, SessionStore};

    use super::*;

    async fn shared<T>(backend: T) -> Arc<T> {
        tokio::task::yield_now().await;
        Arc::new(backend)
    }

    portolan_core::conformance::registry_suite!(async || shared(MemoryRegistry::new()).await as Arc<dyn Registry>);
    portolan_core::conformance::credential_suite!(async || {
        shared(MemoryCredentials::new()).await as Arc<dyn CredentialStore>
    });
    portolan_core::conformance::session_suite!(async || shared(MemorySessions::new()).await as Arc<dyn SessionStore>);
    portolan_core::conformance::bus_suite!(async || shared(MemoryBus::new()).await as Arc<dyn Bus>);
    portolan_core::conformance::gateway_suite!(async || shared(MemoryGateway::new()).await as Arc<dyn Gateway>);
}

fn memory_runtime() -> Fixture {
    let url = "http://127.0.0.1:9/mcp".parse().expect("a URL");
    let endpoint = Endpoint::Http(HttpEndpoint::new(url));
    let runtime = MemoryRuntime::new(endpoint, Arc::new(SystemClock));
    let failure = Failure::new(FailureKind::Image, "there is no such image");
    runtime.becomes(&sample::server_name("broken"), Status::Failed { failure });
    Fixture::new(Arc::new(runtime), run("time"), run("other"), run("broken"))
}

fn run(server: &str) -> RunSpec {
    let server = sample::server(server);
    RunSpec::new(server.name, Owner::Org, server.source)
}
