//! The suites on the backends in memory.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use portolan_core::{
    Action, AllowAll, Caller, Decision, Endpoint, Failure, FailureKind, GuardDecision, HttpEndpoint, KeyProvider,
    Owner, PolicyFn, RunSpec, Secret, Status, Subject, SystemClock, TraceAudit, UserId,
    conformance::{authenticator, broker, discovery, key_provider, runtime::Fixture, sample},
    memory::{
        MemoryBus, MemoryCredentials, MemoryDiscovery, MemoryGateway, MemoryGuard, MemoryKeys, MemoryOneTime,
        MemoryRegistry, MemoryRuntime, MemorySessions, MemoryTokens, NoCredentials,
    },
};

portolan_core::conformance::registry_suite!(|| MemoryRegistry::new());
portolan_core::conformance::credential_suite!(|| MemoryCredentials::new());
portolan_core::conformance::session_suite!(|| MemorySessions::new());
portolan_core::conformance::one_time_suite!(|| MemoryOneTime::new());
portolan_core::conformance::key_provider_suite!(|| memory_keys());
portolan_core::conformance::bus_suite!(|| MemoryBus::new());
portolan_core::conformance::gateway_suite!(|| MemoryGateway::new());
portolan_core::conformance::runtime_suite!(|| memory_runtime());
portolan_core::conformance::authenticator_suite!(|| memory_tokens());
portolan_core::conformance::broker_suite!(|| no_credentials());
portolan_core::conformance::discovery_suite!(|| memory_discovery());
portolan_core::conformance::policy_suite!(|| AllowAll);
portolan_core::conformance::audit_suite!(|| TraceAudit);
portolan_core::conformance::guard_suite!(|| MemoryGuard::new(GuardDecision::refuse("closed")));

/// A guard of results, and a policy that depends on the caller.
mod other {
    use super::*;

    portolan_core::conformance::guard_suite!(|| MemoryGuard::of_results(GuardDecision::Replace("{}".into())));
    portolan_core::conformance::policy_suite!(|| PolicyFn(|caller: &Caller, action: &Action<'_>| {
        if matches!(caller.subject, Subject::User(_)) && action.tool().is_none_or(|tool| !tool.is_destructive()) {
            return Decision::Allow;
        }
        Decision::deny_because("read only")
    }));
}

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

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user")
}

fn memory_tokens() -> authenticator::Fixture {
    let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
    let caller = Caller::new(Subject::User(user("alice")), "token");
    let tokens = MemoryTokens::new([(Secret::new("alice-secret"), caller)]);
    authenticator::Fixture::new(
        Arc::new(tokens),
        sample::gateway_name("default"),
        headers("Bearer alice-secret"),
        headers("bearer wrong-secret"),
    )
}

fn no_credentials() -> broker::Fixture {
    let mut install = sample::install(1);
    install.owner = Owner::Personal(user("alice"));
    let caller = |name| Caller::new(Subject::User(user(name)), "token");
    let server = sample::server("time");
    broker::Fixture::new(Arc::new(NoCredentials), server, install, caller("alice"), caller("bob"))
}

fn memory_discovery() -> discovery::Fixture {
    let url = "http://127.0.0.1:9/mcp".parse().expect("a URL");
    let tools = vec![sample::tool(sample::ODD_TOOL), sample::tool(r#"{"name":"a"}"#)];
    let discovery = Arc::new(MemoryDiscovery::new(tools));
    discovery::Fixture::new(discovery, Endpoint::Http(HttpEndpoint::new(url)), ["now", "a"])
}

fn memory_keys() -> key_provider::Fixture {
    let keys = Arc::new(MemoryKeys::new());
    key_provider::Fixture::new(keys.clone(), move || {
        let keys = keys.clone();
        async move {
            keys.rotate();
            keys as Arc<dyn KeyProvider>
        }
    })
}
