//! What a platform is assembled from.

use std::sync::Arc;

use portolan_core::{
    AllowAll, AuditSink, Authenticator, Bus, Clock, CredentialBroker, CredentialStore, Guard, Policy, Registry,
    Runtime, SessionStore, SystemClock, TraceAudit, orchestrator,
};
use portolan_gateway::{GatewayConfig, TokenKeys};

/// The parts of a platform, for [`Platform::new`](crate::Platform::new). A forgotten part does not compile.
///
/// ```
/// use std::sync::Arc;
/// use portolan::{
///     Components, Platform, ProcessConfig, ProcessRuntime, Settings, StaticTokens, core::{SystemClock, memory},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> portolan::Result<()> {
/// let registry = Arc::new(memory::MemoryRegistry::new());
/// let credentials = Arc::new(memory::MemoryCredentials::new());
/// let processes = ProcessConfig::new("/run/my-app");
/// let platform = Platform::new(Components {
///     registry: registry.clone(),
///     credentials: credentials.clone(),
///     sessions: Arc::new(memory::MemorySessions::new()),
///     runtime: Arc::new(ProcessRuntime::new(processes, credentials)),
///     authenticators: vec![Arc::new(StaticTokens::follow(registry, Arc::new(SystemClock)).await?)],
///     settings: Settings::default(), // clock, policy, audit to tracing: what is safe to leave
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Components {
    /// Keeps servers, installs, gateways and token grants.
    pub registry: Arc<dyn Registry>,
    /// Keeps secrets.
    pub credentials: Arc<dyn CredentialStore>,
    /// Keeps what sessions of legacy clients need beyond their ids.
    pub sessions: Arc<dyn SessionStore>,
    /// Runs self-hosted servers.
    pub runtime: Arc<dyn Runtime>,
    /// Tell who sent a request; asked in this order. Without any, every request is refused.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Everything that has a safe default.
    pub settings: Settings,
}

/// The settings of a platform, each with a safe default.
///
/// ```
/// use portolan::{Action, Caller, Decision, PolicyFn, Settings};
///
/// let settings = Settings::default().with_policy(PolicyFn(|_: &Caller, action: &Action<'_>| {
///     if action.server().as_str() == "internal" { Decision::deny() } else { Decision::Allow }
/// }));
/// # let _ = settings;
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How gateways behave.
    pub gateway: GatewayConfig,
    /// The keys that session ids and cursors are sealed with; replicas need the same. Default: a random key, so that
    /// sessions end with this process.
    pub keys: Option<TokenKeys>,
    /// Decides who may use what. Default: everybody may use everything that their installs reach.
    pub policy: Arc<dyn Policy>,
    /// Check arguments and results of calls, in this order. Default: none.
    pub guards: Vec<Arc<dyn Guard>>,
    /// Gives the credentials for servers. Default: what the install's own fields say.
    pub broker: Option<Arc<dyn CredentialBroker>>,
    /// Connects the replicas of a gateway. Default: there is one replica.
    pub bus: Option<Arc<dyn Bus>>,
    /// Receives audit events. Default: writes them to `tracing`, target `portolan::audit`.
    pub audit: Arc<dyn AuditSink>,
    /// Gives the time that is recorded. Default: the system clock.
    pub clock: Arc<dyn Clock>,
    /// Deadlines of installs and of status probes.
    pub orchestrator: orchestrator::Options,
}

impl Settings {
    /// Sets how gateways behave.
    #[must_use]
    pub fn with_gateway(mut self, config: GatewayConfig) -> Self {
        self.gateway = config;
        self
    }

    /// Sets the keys that session ids and cursors are sealed with.
    #[must_use]
    pub fn with_keys(mut self, keys: TokenKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets the policy.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Sets the credential broker.
    #[must_use]
    pub fn with_broker(mut self, broker: impl CredentialBroker + 'static) -> Self {
        self.broker = Some(Arc::new(broker));
        self
    }

    /// Sets the bus between replicas.
    #[must_use]
    pub fn with_bus(mut self, bus: Arc<dyn Bus>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Adds a check of arguments and results.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Sets the audit sink.
    #[must_use]
    pub fn with_audit(mut self, audit: impl AuditSink + 'static) -> Self {
        self.audit = Arc::new(audit);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the deadlines of installs and of status probes.
    #[must_use]
    pub fn with_orchestrator(mut self, options: orchestrator::Options) -> Self {
        self.orchestrator = options;
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway: GatewayConfig::default(),
            keys: None,
            policy: Arc::new(AllowAll),
            bus: None,
            broker: None,
            audit: Arc::new(TraceAudit),
            guards: Vec::new(),
            clock: Arc::new(SystemClock),
            orchestrator: orchestrator::Options::default(),
        }
    }
}
