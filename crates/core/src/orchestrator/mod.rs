//! The orchestrator: installs, removes and repairs by calling the parts in the right order.
//!
//! It has no state of its own but a view of the registry, which can be read anew at any time. The registry records what shall
//! be done before it is done, and each step can be repeated; so running a flow again after a crash, at whatever step, *is*
//! the repair. There is no journal and no saga engine.
//!
//! A change costs what it touches: its records are read back by key, and the gateway is told what follows for the servers and
//! gateways concerned. [`Orchestrator::follow`] does the same for what other processes write.
//!
//! ```text
//! install   check answers → record (Reserved, then Pending) → store secrets → runtime.ensure → watch until ready
//!           → discover tools → record (Ready) → publish to the gateways that select it
//! delete    record (Deleted) → publish without it → runtime.remove
//! restore   record (Pending) → as installation goes on
//! remove    record (Removing) → publish without it → runtime.remove → remove secrets → remove the record
//! ```

mod answers;
mod catalogue;
mod deletion;
mod installation;
mod outcome;
mod progress;
mod publication;
mod readiness;
mod removal;
mod repair;
mod reservation;
mod run_spec;
mod secrets;
mod status;
mod update;
mod view;

pub use deletion::ServerInstalls;
pub use installation::InstallRequest;
pub use progress::Progress;
pub use publication::publication;
pub use repair::RepairReport;
pub use run_spec::run_spec;
pub use status::{InstallStatus, LiveState};
pub use update::{Reinstall, ServerUpdate, UpdateOutcome};

use std::{sync::Arc, time::Duration};

use crate::{Clock, CredentialBroker, CredentialStore, Discovery, Gateway, Registry, Runtime};

/// The parts that an orchestrator works with. A missing part does not compile.
#[derive(Clone, Debug)]
pub struct OrchestratorParts {
    /// Keeps servers, installs and gateways.
    pub registry: Arc<dyn Registry>,
    /// Keeps secrets.
    pub credentials: Arc<dyn CredentialStore>,
    /// Runs self-hosted installs.
    pub runtime: Arc<dyn Runtime>,
    /// Serves gateways to clients.
    pub gateway: Arc<dyn Gateway>,
    /// Asks servers for their tools.
    pub discovery: Arc<dyn Discovery>,
    /// Gives the credential with which a server is asked.
    pub broker: Arc<dyn CredentialBroker>,
    /// Gives the time that is recorded.
    pub clock: Arc<dyn Clock>,
}

/// Times that an orchestrator keeps to, each with a default.
///
/// ```
/// use std::time::Duration;
/// use portolan_core::orchestrator::Options;
///
/// let options = Options::default().with_install_deadline(Duration::from_secs(30));
/// assert_eq!(options.probe_age, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long an install may take until its tools are known. Default 120 s.
    pub install_deadline: Duration,
    /// How long a server may take to answer when it is asked how it is. Default 5 s.
    pub probe_timeout: Duration,
    /// How old an answer may be before a remote server is asked again how it is. Default 10 s.
    pub probe_age: Duration,
    /// How long deleted servers and installs are kept and can be restored. Default 30 days.
    pub retention: Duration,
}

impl Options {
    /// Sets how long an install may take.
    #[must_use]
    pub fn with_install_deadline(mut self, deadline: Duration) -> Self {
        self.install_deadline = deadline;
        self
    }

    /// Sets how long a server may take to say how it is.
    #[must_use]
    pub fn with_probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout;
        self
    }

    /// Sets how long such an answer is believed.
    #[must_use]
    pub fn with_probe_age(mut self, age: Duration) -> Self {
        self.probe_age = age;
        self
    }

    /// Sets how long deleted servers and installs are kept.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            install_deadline: Duration::from_secs(120),
            probe_timeout: Duration::from_secs(5),
            probe_age: Duration::from_secs(10),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// Installs servers, removes installs, and keeps what is published in step with the registry.
///
/// Any number of orchestrators may work on one registry at the same time, on one machine or on many. A future that is
/// dropped leaves a state that the same call, or [`repair`](Self::repair), continues.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{
///     Endpoint, HttpEndpoint, Owner, Precondition, ServerSpec, SystemClock,
///     memory::{
///         MemoryCredentials, MemoryDiscovery, MemoryGateway, MemoryRegistry, MemoryRuntime, NoCredentials,
///     },
///     orchestrator::{InstallRequest, LiveState, Orchestrator, OrchestratorParts},
/// };
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(async {
/// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:9/mcp".parse().expect("a URL")));
/// let orchestrator = Orchestrator::new(OrchestratorParts {
///     registry: Arc::new(MemoryRegistry::new()),
///     credentials: Arc::new(MemoryCredentials::new()),
///     runtime: Arc::new(MemoryRuntime::new(endpoint, Arc::new(SystemClock))),
///     gateway: Arc::new(MemoryGateway::new()),
///     discovery: Arc::new(MemoryDiscovery::new(Vec::new())),
///     broker: Arc::new(NoCredentials),
///     clock: Arc::new(SystemClock),
/// });
/// let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
/// let request = InstallRequest::new(server.name.clone(), Owner::Org);
/// orchestrator.put_server(server, Precondition::Absent).await?;
/// orchestrator.install(request).await?;
/// assert_eq!(orchestrator.status().await?[0].state, LiveState::Ready);
/// # Ok::<(), portolan_core::Error>(())
/// # })?;
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Orchestrator {
    parts: OrchestratorParts,
    options: Options,
    /// What is known of the registry, and what the gateway was told of it.
    view: view::View,
    /// The last answers of remote servers. They hold no more than there are installs.
    probes: tokio::sync::Mutex<status::Probes>,
}

impl Orchestrator {
    /// Creates an orchestrator of these parts, with default options.
    pub fn new(parts: OrchestratorParts) -> Self {
        Self::with_options(parts, Options::default())
    }

    /// Creates an orchestrator of these parts with these options.
    pub fn with_options(parts: OrchestratorParts, options: Options) -> Self {
        Self {
            parts,
            options,
            view: view::View::default(),
            probes: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the parts.
    pub fn parts(&self) -> &OrchestratorParts {
        &self.parts
    }
}
