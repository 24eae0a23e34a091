//! Publications: whose installs serve which caller, also while that changes.

use std::{sync::Arc, time::Duration};

use portolan_core::{
    Caller, CredentialBroker, CredentialContext, Endpoint, Gateway, GatewaySpec, HttpEndpoint, Install, Owner,
    Publication, PublicationChange, Result, Route, Secret, ServerSpec, Source, Subject, SystemClock, TeamId, Tool,
    ToolSet, UpstreamCredential,
    memory::{MemoryRuntime, MemorySessions},
};
use portolan_gateway::{McpGateway, StaticTokens};
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    eventually, eventually_async,
    gateway::{TestGateway, gateway_name, grant, install, parts, user},
    upstreams::{Eras, HttpFixture, http},
};

mod conformance {
    use portolan_core::{Endpoint, HttpEndpoint, SystemClock, memory::MemoryRuntime};
    use portolan_gateway::McpGateway;

    portolan_core::conformance::gateway_suite!(|| {
        let endpoint = HttpEndpoint::new("http://127.0.0.1:1/mcp".parse().expect("a URL"));
        let mut parts = crate::support::gateway::parts();
        parts.runtime = Some(std::sync::Arc::new(MemoryRuntime::new(
            Endpoint::Http(endpoint),
            std::sync::Arc::new(SystemClock),
        )));
        McpGateway::new(parts)
    });
}

/// Sends upstream which install serves, and for whom.
#[derive(Debug)]
struct InstallHeaders;

#[async_trait::async_trait]
impl CredentialBroker for InstallHeaders {
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        let mut outbound = UpstreamCredential::none();
        let told = [
            ("x-install", context.install.name.to_string()),
            ("x-caller", context.caller.subject.to_string()),
        ];
        for (name, value) in told {
            outbound
                .headers
                .push((name.parse().expect("a header"), Secret::new(value)));
        }
        // The server lists the same to everybody.
        Ok(Arc::new(outbound.with_scope("")))
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}

fn team(name: &str) -> TeamId {
    TeamId::parse(name).expect("a team")
}

async fn gateway() -> TestGateway {
    let mut alice = grant("alice-token", Subject::User(user("alice")));
    alice.teams = vec![team("web"), team("ops")];
    let grants = [
        alice,
        grant("bob-token", Subject::User(user("bob"))),
        grant("web-token", Subject::Team(team("web"))),
        grant("org-token", Subject::Org),
        grant("client-token", Subject::Client(user("alice"))),
    ];
    TestGateway::builder()
        .unpublished()
        .authenticator(StaticTokens::from_grants(grants, Arc::new(SystemClock)))
        .broker(InstallHeaders)
        .start()
        .await
}

async fn publish_installs(gateway: &TestGateway, server: &Arc<ServerSpec>, installs: Vec<Arc<Install>>, pinned: bool) {
    let route = Route::new(server.clone(), installs, pinned);
    gateway.publish_routes("default", vec![route]).await;
}

/// The install that serves whoever has this token.
async fn served_by(gateway: &TestGateway, version: ClientVersion, token: &str) -> Option<String> {
    let mut client = gateway.client(version).token(token);
    client.handshake().await;
    let answer = client.tool("up__whoami", json!({})).await;
    let Some(result) = answer.get("result") else {
        assert_eq!(answer["error"]["code"], -32602);
        assert_eq!(client.tools().await, [""; 0], "what cannot be called is not listed");
        return None;
    };
    assert_eq!(client.tools().await.len(), 8);
    result["structuredContent"]["headers"]["x-install"]
        .as_str()
        .map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearest_install_serves() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let of = |owner| install(&server, owner);
    let (personal, bobs) = (of(Owner::Personal(user("alice"))), of(Owner::Personal(user("bob"))));
    let (ops, web, org) = (
        of(Owner::Team(team("ops"))),
        of(Owner::Team(team("web"))),
        of(Owner::Org),
    );
    let name = |install: &Arc<Install>| Some(install.name.to_string());
    let mut all = vec![org.clone(), ops.clone(), bobs.clone(), web.clone(), personal.clone()];
    for (gone, alices, web_tokens, others) in [
        (None, name(&personal), name(&web), name(&org)),
        (Some(&personal), name(&web), name(&web), name(&org)),
        (Some(&web), name(&ops), name(&org), name(&org)),
        (Some(&ops), name(&org), name(&org), name(&org)),
        (Some(&org), None, None, None),
    ] {
        all.retain(|install| Some(install) != gone);
        publish_installs(&gateway, &server, all.clone(), false).await;
        for version in ClientVersion::EACH_ERA {
            assert_eq!(served_by(&gateway, version, "alice-token").await, alices);
            assert_eq!(served_by(&gateway, version, "bob-token").await, name(&bobs));
            assert_eq!(served_by(&gateway, version, "web-token").await, web_tokens);
            assert_eq!(served_by(&gateway, version, "org-token").await, others);
            assert_eq!(
                served_by(&gateway, version, "client-token").await,
                others,
                "a service is no person"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pinned_personal_install_is_private() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let personal = install(&server, Owner::Personal(user("alice")));
    publish_installs(&gateway, &server, vec![personal.clone()], true).await;
    for version in ClientVersion::EACH_ERA {
        assert_eq!(
            served_by(&gateway, version, "alice-token").await,
            Some(personal.name.to_string())
        );
        for token in ["bob-token", "web-token", "org-token", "client-token"] {
            assert_eq!(served_by(&gateway, version, token).await, None, "{token}");
        }
    }
    let callers: Vec<_> = upstream
        .requests_of("tools/call")
        .iter()
        .map(|call| call.header("x-caller").map(str::to_owned))
        .collect();
    assert!(
        callers.iter().all(|caller| caller.as_deref() == Some("user:alice")),
        "{callers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assignment_selects_tools() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let mut route = Route::new(server.clone(), vec![install(&server, Owner::Org)], true);
    route.tools = Some(["echo", "gone"].map(|name| name.try_into().expect("a tool")).into());
    gateway.publish_routes("default", vec![route]).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        assert_eq!(client.tools().await, ["up__echo"]);
        assert_eq!(
            client.tool("up__count", json!({"key": "k"})).await["error"]["code"],
            -32602
        );
    }
    assert_eq!(upstream.count("k"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_call_outlives_publication() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    gateway.publish("default", &[("up", &upstream.url())]).await;
    for (at, version) in ClientVersion::EACH_ERA.into_iter().enumerate() {
        let client = gateway.connect(version).await;
        let post = client.call_with("1", "up__progress", r#"{"steps":60,"ms":5}"#, r#""progressToken":1"#);
        let mut call = client.begin(&post).await;
        call.event().await.expect("a stream").expect("progress");
        gateway.withdraw("default").await;
        assert_eq!(client.call_method("tools/list", "").await.status(), 404);
        let messages = call.messages().await.expect("it goes on");
        assert!(
            messages.last().is_some_and(|last| last.contains("60 steps done")),
            "{at}"
        );
        gateway.publish("default", &[("up", &upstream.url())]).await;
        assert_eq!(client.text("up__echo", json!({"text": "again"})).await, "again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publication_swap_is_atomic() {
    let (old, new) = (http(Eras::Both).await, http(Eras::Both).await);
    let gateway = gateway().await;
    gateway.publish("default", &[("up", &old.url())]).await;
    let changing = async {
        for round in 0..40 {
            let url = if round % 2 == 0 { new.url() } else { old.url() };
            gateway.publish("default", &[("up", &url)]).await;
            // Leaves time for calls between two publications.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let calling = async |version| {
        let client = gateway.connect(version).await;
        for n in 0..60 {
            assert_eq!(
                client.text("up__echo", json!({"text": n.to_string()})).await,
                n.to_string()
            );
        }
    };
    tokio::join!(
        changing,
        calling(ClientVersion::V2025_11_25),
        calling(ClientVersion::V2026_07_28),
        calling(ClientVersion::V2026_07_28)
    );
    assert!(old.counters().calls > 0 && new.counters().calls > 0);
}

fn tools(names: &[&str]) -> ToolSet {
    let of = |name: &&str| serde_json::value::to_raw_value(&json!({"name": name, "inputSchema": {"type": "object"}}));
    names
        .iter()
        .map(|name| Tool::parse(of(name).expect("JSON")).expect("a tool"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_tools_listed_at_once() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let mut known = Install::clone(&install(&server, Owner::Org));
    known.tools = tools(&["echo", "old"]);
    publish_installs(&gateway, &server, vec![known.clone().into()], true).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(client.tools().await, ["up__echo", "up__old"]);
    assert!(upstream.requests().is_empty(), "nobody was asked");
    assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
    known.tools = tools(&["echo", "new"]);
    publish_installs(&gateway, &server, vec![known.into()], true).await;
    assert_eq!(client.tools().await, ["up__echo", "up__new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn republishing_keeps_lists() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .unpublished()
        .config(|config| config.timeouts.list_age = Duration::ZERO)
        .start()
        .await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let mut known = Install::clone(&install(&server, Owner::Org));
    known.tools = tools(&["old"]);
    publish_installs(&gateway, &server, vec![known.clone().into()], true).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    // It is fetched anew in the background, and then the server's own word counts.
    eventually_async("the list is fetched", async || client.tools().await.len() == 8).await;
    publish_installs(&gateway, &server, vec![known.into()], true).await;
    assert_eq!(client.tools().await.len(), 8);
}

/// A gateway in front of one server that a runtime runs.
async fn running(upstream: &HttpFixture) -> (TestGateway, Arc<MemoryRuntime>, Arc<ServerSpec>, Arc<Install>) {
    let endpoint = Endpoint::Http(HttpEndpoint::new(upstream.url().parse().expect("a URL")));
    let runtime = Arc::new(MemoryRuntime::new(endpoint, Arc::new(SystemClock)));
    let gateway = TestGateway::builder()
        .unpublished()
        .runtime(runtime.clone())
        .start()
        .await;
    let server = Arc::new(ServerSpec::command("up", "server", [""; 0]).expect("a server"));
    let install = install(&server, Owner::Org);
    (gateway, runtime, server, install)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runtime_endpoint_is_followed() {
    use portolan_core::{Failure, FailureKind, RunSpec, Runtime, Status};
    let upstream = http(Eras::Both).await;
    let (gateway, runtime, server, install) = running(&upstream).await;
    publish_installs(&gateway, &server, vec![install.clone()], true).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let spec = RunSpec::new(server.name.clone(), Owner::Org, server.source.clone());
        runtime.ensure(&install.name, &spec).await.expect("it runs");
        assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
        runtime.set(
            &install.name,
            Status::Restarting {
                failure: Failure::new(FailureKind::Exited, "it ended"),
            },
        );
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(
            answer["result"]["_meta"]["dev.portolan/failure"],
            json!({"cause": "exited", "retryable": true})
        );
        runtime.set(&install.name, Status::Ready);
        assert_eq!(client.text("up__echo", json!({"text": "y"})).await, "y");
        runtime.remove(&install.name).await.expect("removed");
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
    }
}

#[tokio::test]
async fn self_hosted_needs_runtime() {
    let gateway = McpGateway::new(parts());
    let server = Arc::new(ServerSpec::command("up", "server", [""; 0]).expect("a server"));
    assert!(matches!(server.source, Source::Command { .. }));
    let route = Route::new(server.clone(), vec![install(&server, Owner::Org)], true);
    let publication = Publication::new(GatewaySpec::new(gateway_name("default")), vec![route]);
    let refused = gateway.publish(publication).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("runtime")));
    assert!(gateway.published().await.expect("names").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_audited_once() {
    use portolan_core::{AuditEvent, AuditOutcome, AuditSink};
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct AuditLog(Mutex<Vec<(String, String, AuditOutcome)>>);
    impl AuditSink for AuditLog {
        fn record(&self, event: &AuditEvent<'_>) {
            let record = (event.subject.to_string(), event.tool.to_owned(), event.outcome.clone());
            self.0.lock().expect("no panic").push(record);
        }
    }

    let upstream = http(Eras::Both).await;
    let log = Arc::new(AuditLog::default());
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .audit(log.clone())
        .parts(|parts| parts.sessions = Arc::new(MemorySessions::new()))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.text("up__echo", json!({"text": "x"})).await;
    let unknown: Value = client.tool("up__nope", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    upstream
        .fault(portolan_fixtures::http::Fault::status(500))
        .on("tools/call")
        .times(1)
        .arm();
    client.tool("up__count", json!({"key": "k"})).await;
    let before = upstream.counters().calls;
    let gone = client
        .send_only(&client.call("9", "up__sleep", r#"{"ms":60000}"#))
        .await;
    eventually("under way", || upstream.counters().calls > before).await;
    drop(gone);
    eventually("recorded", || log.0.lock().expect("no panic").len() == 3).await;
    let record = |tool: &str, outcome| ("user:alice".to_owned(), tool.to_owned(), outcome);
    let expected = [
        record("echo", AuditOutcome::Answered),
        record("count", AuditOutcome::Failed),
        record("sleep", AuditOutcome::Cancelled),
    ];
    assert_eq!(*log.0.lock().expect("no panic"), expected);
}

fn changed_installs(server: &ServerSpec, all: &[&Arc<Install>], changed: &[&Arc<Install>]) -> PublicationChange {
    PublicationChange::Installs {
        gateway: gateway_name("default"),
        server: server.name.clone(),
        installs: all.iter().map(|install| (*install).clone()).collect(),
        changed: changed.iter().map(|install| install.name).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_installs_serve_at_once() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let of = |owner| install(&server, owner);
    let (alices, bobs, org) = (
        of(Owner::Personal(user("alice"))),
        of(Owner::Personal(user("bob"))),
        of(Owner::Org),
    );
    let name = |install: &Arc<Install>| Some(install.name.to_string());
    publish_installs(&gateway, &server, vec![org.clone()], false).await;
    let version = ClientVersion::V2026_07_28;
    assert_eq!(served_by(&gateway, version, "alice-token").await, name(&org));
    for (change, alice, bob) in [
        (
            changed_installs(&server, &[&org, &alices], &[&alices]),
            name(&alices),
            name(&org),
        ),
        (
            changed_installs(&server, &[&org, &alices, &bobs], &[&bobs]),
            name(&alices),
            name(&bobs),
        ),
        (changed_installs(&server, &[&bobs], &[&alices, &org]), None, name(&bobs)),
    ] {
        gateway.apply(vec![change]).await;
        assert_eq!(served_by(&gateway, version, "alice-token").await, alice);
        assert_eq!(served_by(&gateway, version, "bob-token").await, bob);
    }
    let removed = PublicationChange::RouteRemoved {
        gateway: gateway_name("default"),
        server: server.name.clone(),
    };
    gateway.apply(vec![removed]).await;
    assert_eq!(served_by(&gateway, version, "bob-token").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_change_without_new_connections() {
    let upstream = http(Eras::Legacy).await;
    let gateway = gateway().await;
    let mut spec = ServerSpec::remote("up", upstream.url()).expect("a server");
    let org = install(&spec, Owner::Org);
    publish_installs(&gateway, &spec.clone().into(), vec![org.clone()], false).await;
    let version = ClientVersion::V2026_07_28;
    assert_eq!(
        served_by(&gateway, version, "org-token").await,
        Some(org.name.to_string())
    );
    let before = upstream.requests_of("initialize").len();
    spec.labels = portolan_core::Labels::new([("team", "web")]).expect("labels");
    let route = Route::new(spec.into(), vec![org.clone()], false);
    let gateway_of = gateway_name("default");
    let change = PublicationChange::Route {
        gateway: gateway_of,
        route,
    };
    gateway.apply(vec![change]).await;
    assert_eq!(
        served_by(&gateway, version, "org-token").await,
        Some(org.name.to_string())
    );
    assert_eq!(upstream.requests_of("initialize").len(), before, "its session went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn install_of_one_is_no_news_for_others() {
    let upstream = http(Eras::Both).await;
    let gateway = gateway().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let of = |owner| install(&server, owner);
    let (org, alices, bobs) = (
        of(Owner::Org),
        of(Owner::Personal(user("alice"))),
        of(Owner::Personal(user("bob"))),
    );
    publish_installs(&gateway, &server, vec![org.clone()], false).await;
    let bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
    let (mut stream, _) = bob.listen("1", r#""toolsListChanged":true"#).await;
    let change = changed_installs(&server, &[&org, &alices], &[&alices]);
    gateway.apply(vec![change.clone()]).await;
    gateway.apply(vec![change]).await;
    assert!(stream.is_silent(Duration::from_millis(300)).await);
    gateway
        .apply(vec![changed_installs(&server, &[&org, &alices, &bobs], &[&bobs])])
        .await;
    assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
}
