//! A world to install things in: backends that outlive a crash, and orchestrators that do not.

use std::{sync::Arc, time::Duration};

use portolan_core::{
    Answers, Assignment, CredentialReader, CredentialStore, Delivery, Endpoint, Field, FieldKey, FieldKind, Gateway,
    GatewaySpec, HttpEndpoint, Install, InstallState, Labels, Owner, Precondition, Registry, RegistryExt, Runtime,
    Selection, ServerSpec, TeamId,
    conformance::sample,
    memory::{
        ManualClock, MemoryCredentials, MemoryDiscovery, MemoryGateway, MemoryRegistry, MemoryRuntime, NoCredentials,
    },
    orchestrator::{InstallRequest, Orchestrator, OrchestratorParts, run_spec},
};

use super::faults::{Faults, Faulty};

/// What stays when a machine goes.
pub(super) struct World {
    pub(super) registry: Arc<MemoryRegistry>,
    pub(super) credentials: Arc<MemoryCredentials>,
    pub(super) runtime: Arc<MemoryRuntime>,
    pub(super) gateway: Arc<MemoryGateway>,
    pub(super) discovery: Arc<MemoryDiscovery>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) faults: Arc<Faults>,
}

impl World {
    /// A world with the server `time` and three gateways that select it, in three ways.
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(sample::time(0)));
        let url = "http://127.0.0.1:9/mcp".parse().expect("a URL");
        let world = Self {
            registry: Arc::default(),
            credentials: Arc::default(),
            runtime: MemoryRuntime::new(Endpoint::Http(HttpEndpoint::new(url)), clock.clone()).into(),
            gateway: Arc::default(),
            discovery: MemoryDiscovery::new(vec![sample::tool(sample::ODD_TOOL)]).into(),
            clock,
            faults: Arc::default(),
        };
        let orchestrator = world.orchestrator();
        orchestrator
            .put_server(server(), Precondition::Absent)
            .await
            .expect("server");
        for gateway in gateways() {
            orchestrator
                .put_gateway(gateway, Precondition::Absent)
                .await
                .expect("gateway");
        }
        world
    }

    /// A new process, on what is there.
    pub(super) fn orchestrator(&self) -> Orchestrator {
        Orchestrator::new(self.parts())
    }

    pub(super) fn parts(&self) -> OrchestratorParts {
        OrchestratorParts {
            registry: self.faulty(&self.registry),
            credentials: self.faulty(&self.credentials),
            runtime: self.faulty(&self.runtime),
            gateway: self.faulty(&self.gateway),
            discovery: self.faulty(&self.discovery),
            broker: self.faulty(&Arc::new(NoCredentials)),
            clock: self.clock.clone(),
        }
    }

    fn faulty<T>(&self, inner: &Arc<T>) -> Arc<Faulty<T>> {
        let (inner, faults) = (inner.clone(), self.faults.clone());
        Arc::new(Faulty { inner, faults })
    }

    pub(super) async fn install(&self) -> Install {
        self.orchestrator().install(request()).await.expect("install")
    }

    pub(super) async fn installs(&self) -> Vec<Install> {
        let installs = self.registry.installs().await.expect("installs");
        installs.into_iter().map(|install| install.value).collect()
    }

    /// Everything there is, as text, with `NAME<n>` for the names of installs and nothing of what differs by chance.
    pub(super) async fn portrait(&self) -> String {
        let mut text = String::new();
        let installs = self.installs().await;
        for install in &installs {
            let mut install = install.clone();
            (install.created, install.updated) = (sample::time(0), sample::time(0));
            text.push_str(&format!("{install:#?}\n"));
        }
        for name in self.runtime.list().await.expect("list") {
            let mut spec = self.runtime.deployment(&name).expect("a deployment");
            spec.secret_versions.clear();
            text.push_str(&format!("deployment {name} {spec:#?}\n"));
        }
        for key in self.credentials.keys("", None, 1000).await.expect("keys") {
            let secret = self.credentials.read(&key).await.expect("read").expect("is there");
            text.push_str(&format!("secret {key} = {}\n", secret.value.reveal()));
        }
        for gateway in self.gateway.published().await.expect("published") {
            let publication = self.gateway.publication(&gateway).expect("is there");
            for route in publication.routes {
                let installs: Vec<_> = route.installs.iter().map(|install| install.name.to_string()).collect();
                text.push_str(&format!("gateway {gateway}: {} by {installs:?}\n", route.server.name));
            }
        }
        for (number, install) in installs.iter().enumerate() {
            text = text.replace(&install.name.to_string(), &format!("NAME{number}"));
        }
        text
    }

    /// What runs for a ready install runs with the answers that are recorded.
    pub(super) fn assert_runs_as_recorded(&self, install: &Install, context: &str) {
        if install.is_ready() {
            let mut spec = self.runtime.deployment(&install.name).expect("a deployment");
            spec.secret_versions.clear();
            assert_eq!(spec, run_spec(&server(), install).expect("a spec"), "{context}");
        }
    }

    /// No deployment, secret or publication without a ready or failed record.
    pub(super) async fn assert_no_orphans(&self, context: &str) {
        let installs = self.installs().await;
        let names: Vec<_> = installs.iter().map(|install| install.name).collect();
        for name in self.runtime.list().await.expect("list") {
            assert!(
                names.contains(&name),
                "{context}: a deployment without a record: {name}"
            );
        }
        for key in self.credentials.keys("install/", None, 1000).await.expect("keys") {
            let is_named = names.iter().any(|name| key.as_str().contains(&name.to_string()));
            assert!(is_named, "{context}: a secret without a record: {key}");
        }
        for install in &installs {
            let settled = matches!(install.state, InstallState::Ready | InstallState::Failed { .. });
            assert!(settled, "{context}: an install is left {:?}", install.state);
        }
        for gateway in self.gateway.published().await.expect("published") {
            for route in self.gateway.publication(&gateway).expect("is there").routes {
                for install in &route.installs {
                    assert!(
                        names.contains(&install.name),
                        "{context}: {gateway} serves what is gone"
                    );
                }
            }
        }
    }

    pub(super) async fn put(&self, server: ServerSpec) {
        self.registry.put(server.into(), Precondition::None).await.expect("put");
    }
}

pub(super) fn owner() -> Owner {
    Owner::Team(TeamId::parse("web").expect("a team"))
}

pub(super) fn request() -> InstallRequest {
    request_with("eu", "s3cr3t")
}

pub(super) fn request_with(region: &str, key: &str) -> InstallRequest {
    let answers = Answers::new().set("region", region).secret("api_key", key);
    InstallRequest::new(server().name, owner()).answers(answers)
}

/// A server that asks for a secret, and for more.
pub(super) fn server() -> ServerSpec {
    let mut server = ServerSpec::command("time", "serve", ["--region=${user_config.region}"]).expect("a server");
    server.labels = Labels::new([("stage", "prod")]).expect("labels");
    let mut port = field("port", Delivery::Env { name: "PORT".into() });
    port.kind = FieldKind::Number;
    port.default = Some("80".into());
    let mut extra = field(
        "extra",
        Delivery::File {
            name: "extra.txt".into(),
        },
    );
    extra.secret = true;
    server
        .field(Field::secret_env("api_key", "API_KEY").expect("a field"))
        .field(field("region", Delivery::Argument))
        .field(port)
        .field(extra)
}

pub(super) fn field(key: &str, delivery: Delivery) -> Field {
    Field::new(FieldKey::parse(key).expect("a key"), delivery)
}

fn gateways() -> [GatewaySpec; 3] {
    let [mut all, mut labels, mut assigned] = ["all", "labels", "assigned"].map(sample::gateway);
    all.selection = Selection::All;
    labels.selection = Selection::ByLabels;
    assigned.selection = Selection::Assigned(vec![Assignment::resolved(server().name)]);
    [all, labels, assigned]
}

/// Longer than any flow waits.
pub(super) const LONG: Duration = Duration::from_secs(3600);
