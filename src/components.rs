//! What a platform is assembled from.

use std::sync::Arc;

use portolan_core::{
    AllowAll, AuditSink, Authenticator, Bus, Clock, CredentialBroker, CredentialStore, Policy, Registry, Runtime,
    SessionStore, SystemClock, TraceAudit,
};
use portolan_gateway::{GatewayConfig, TokenKeys};

/// The parts of a platform. A forgotten one is a compile error; another one is one line.
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
    /// Where servers, installs, gateways and token grants are kept.
    pub registry: Arc<dyn Registry>,
    /// Where secrets are kept.
    pub credentials: Arc<dyn CredentialStore>,
    /// What sessions of legacy clients need beyond their ids.
    pub sessions: Arc<dyn SessionStore>,
    /// What runs self-hosted servers.
    pub runtime: Arc<dyn Runtime>,
    /// Who calls. Without any, every request is refused.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// What is safe to leave as it is.
    pub settings: Settings,
}

/// What a platform can be told, each with a safe default.
#[derive(Debug)]
pub struct Settings {
    /// How gateways behave.
    pub gateway: GatewayConfig,
    /// What session ids and cursors are sealed with; replicas need the same. Default: random, so that sessions end with
    /// this process.
    pub keys: Option<TokenKeys>,
    /// Who may use what. Default: everybody everything that their installs reach.
    pub policy: Arc<dyn Policy>,
    /// As whom servers are called. Default: with what the install's own fields say.
    pub broker: Option<Arc<dyn CredentialBroker>>,
    /// How replicas tell each other what has changed. Default: there is only this one.
    pub bus: Option<Arc<dyn Bus>>,
    /// Who is told of calls. Default: `tracing`, target `portolan::audit`.
    pub audit: Arc<dyn AuditSink>,
    /// What time it is. Default: the machine's.
    pub clock: Arc<dyn Clock>,
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
            clock: Arc::new(SystemClock),
        }
    }
}
