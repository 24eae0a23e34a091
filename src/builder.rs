//! A platform on one machine, of which any part can be replaced.

use std::{path::Path, sync::Arc};

use portolan_core::{
    AuditSink, Authenticator, Bus, Clock, CredentialBroker, CredentialStore, Guard, Policy, Registry, Result, Runtime,
    SessionStore, orchestrator,
};
use portolan_gateway::{GatewayConfig, StaticTokens, TokenKeys};
use portolan_process::{ProcessConfig, ProcessRuntime};
use portolan_storage_sql::{Keyring, SqlConfig};

use crate::{
    Components, Platform, Settings,
    database::{Database, LazyStore},
    platform::require_tokio,
};

impl Platform {
    /// Opens a platform on one machine: [`Platform::builder`] with nothing replaced.
    ///
    /// `database` is the path of an SQLite file, or a URL `postgres://…` with the feature `postgres`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> portolan::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("portolan-local-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).expect("a directory");
    /// let platform = portolan::Platform::local(directory.join("portolan.db")).await?;
    /// # std::fs::remove_dir_all(&directory).expect("removed");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`PlatformBuilder::build`].
    pub async fn local(database: impl AsRef<Path>) -> Result<Self> {
        Self::builder(database).build().await
    }

    /// Begins a platform on one machine, of which each method replaces one part.
    ///
    /// Without further calls it has: registry, credentials and sessions in the SQLite file `database`; the keys that seal
    /// its secrets in `<database>.keys` and those that seal session ids and cursors in `<database>.token-keys` (all three
    /// mode 0600). With a URL `postgres://user:password@host/name` as `database`, and the feature `postgres`, they are in
    /// PostgreSQL, and any number of processes with the same sealing keys are replicas of one platform: the keys that seal
    /// secrets are in `portolan.keys` in the working directory unless they are [given](PlatformBuilder::sealing_keys); those
    /// that seal session ids are in the database; the replicas' [bus](PlatformBuilder::bus) is the database. Besides: servers as child processes with the search path, working directory and locale of this process; the
    /// bearer tokens that the platform issues; a policy that allows everything; audit events to `tracing`.
    ///
    /// ```
    /// use portolan::{Action, Caller, Decision, Platform, PolicyFn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> portolan::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("portolan-builder-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).expect("a directory");
    /// let no_deletion = PolicyFn(|_: &Caller, action: &Action<'_>| match action.tool() {
    ///     Some(tool) if tool.name().as_str().starts_with("delete") => Decision::deny(),
    ///     _ => Decision::Allow,
    /// });
    /// let platform = Platform::builder(directory.join("app.db")).policy(no_deletion).build().await?;
    /// # std::fs::remove_dir_all(&directory).expect("removed");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(database: impl AsRef<Path>) -> PlatformBuilder {
        PlatformBuilder {
            database: Database::at(database.as_ref()),
            storage: SqlConfig::new(),
            sealing_keys: None,
            registry: None,
            credentials: None,
            sessions: None,
            runtime: None,
            processes: None,
            authenticators: Vec::new(),
            settings: Settings::default(),
        }
    }
}

/// Builds a platform on one machine: see [`Platform::builder`].
///
/// What the host usually goes on using itself is given as an [`Arc`]; everything else by value.
#[derive(Debug)]
#[must_use]
pub struct PlatformBuilder {
    database: Database,
    storage: SqlConfig,
    sealing_keys: Option<Keyring>,
    registry: Option<Arc<dyn Registry>>,
    credentials: Option<Arc<dyn CredentialStore>>,
    sessions: Option<Arc<dyn SessionStore>>,
    runtime: Option<Arc<dyn Runtime>>,
    processes: Option<ProcessConfig>,
    authenticators: Vec<Arc<dyn Authenticator>>,
    settings: Settings,
}

impl PlatformBuilder {
    /// Adds an authenticator. Those that are added are asked in order, before the platform's own tokens.
    pub fn authenticator(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.authenticators.push(Arc::new(authenticator));
        self
    }

    /// Replaces the policy, which allows everything by default.
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.settings = self.settings.with_policy(policy);
        self
    }

    /// Adds a check of the arguments and results of calls; guards are asked in the order in which they are added.
    pub fn guard(mut self, guard: impl Guard + 'static) -> Self {
        self.settings = self.settings.with_guard(guard);
        self
    }

    /// Replaces the audit sink, which writes to `tracing` by default.
    pub fn audit(mut self, audit: impl AuditSink + 'static) -> Self {
        self.settings = self.settings.with_audit(audit);
        self
    }

    /// Replaces the credential broker, which by default sends what the fields of an install say.
    pub fn broker(mut self, broker: impl CredentialBroker + 'static) -> Self {
        self.settings = self.settings.with_broker(broker);
        self
    }

    /// Replaces the runtime, which starts child processes by default.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets how child processes are run, for the default runtime. Its clock becomes that of the platform.
    pub fn processes(mut self, processes: ProcessConfig) -> Self {
        self.processes = Some(processes);
        self
    }

    /// Replaces the registry, which is in the database by default.
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Replaces the credential store, which is in the database by default.
    pub fn credentials(mut self, credentials: Arc<dyn CredentialStore>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Replaces the session store, which is in the database by default.
    pub fn sessions(mut self, sessions: Arc<dyn SessionStore>) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Sets how a PostgreSQL database is used: its schema, connections, pooler and TLS.
    pub fn storage(mut self, config: SqlConfig) -> Self {
        self.storage = config;
        self
    }

    /// Replaces the keys that seal secrets in the database, by default those in `<database>.keys`, or in `portolan.keys` for a
    /// database at a URL: other [`SealingKeys`](portolan_storage_sql::SealingKeys), or
    /// a [`Keyring`] over the host's [`KeyProvider`](portolan_core::KeyProvider). All replicas need the same.
    pub fn sealing_keys(mut self, keys: impl Into<Keyring>) -> Self {
        self.sealing_keys = Some(keys.into());
        self
    }

    /// Replaces the keys that seal session ids and cursors, by default those in `<database>.token-keys`, or in a database at
    /// a URL itself.
    pub fn token_keys(mut self, keys: TokenKeys) -> Self {
        self.settings = self.settings.with_keys(keys);
        self
    }

    /// Connects this replica of the gateway with others, which share session store and token keys; by default over a
    /// database at a URL.
    pub fn bus(mut self, bus: Arc<dyn Bus>) -> Self {
        self.settings = self.settings.with_bus(bus);
        self
    }

    /// Replaces the clock of records, leases and token expiry, by default the system clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings = self.settings.with_clock(clock);
        self
    }

    /// Sets how gateways behave: host names, limits, timeouts.
    pub fn gateway_config(mut self, config: GatewayConfig) -> Self {
        self.settings = self.settings.with_gateway(config);
        self
    }

    /// Sets the deadlines of installs and of status probes.
    pub fn orchestrator_options(mut self, options: orchestrator::Options) -> Self {
        self.settings = self.settings.with_orchestrator(options);
        self
    }

    /// Builds the platform, as [`Platform::new`] does. The database is opened unless everything in it is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) outside of a tokio runtime, for a key file that is none or does
    /// not fit the database, and for a path where no database can be;
    /// [`Error::Unavailable`](portolan_core::Error::Unavailable) and [`Error::Backend`](portolan_core::Error::Backend) of
    /// the stores.
    pub async fn build(self) -> Result<Platform> {
        require_tokio()?;
        let Self {
            database,
            registry,
            credentials,
            sessions,
            mut settings,
            ..
        } = self;
        let clock = settings.clock.clone();
        let mut store = LazyStore::new(database.clone(), self.storage, self.sealing_keys, clock.clone());
        let registry = match registry {
            Some(registry) => registry,
            None => store.open().await?,
        };
        let credentials = match credentials {
            Some(credentials) => credentials,
            None => store.open().await?,
        };
        let sessions = match sessions {
            Some(sessions) => sessions,
            None => store.open().await?,
        };
        if settings.keys.is_none() {
            settings.keys = Some(database.token_keys(&*credentials).await?);
        }
        if settings.bus.is_none() && database.is_shared() {
            settings.bus = store.opened().map(|store| store as Arc<dyn Bus>);
        }
        let runtime = self.runtime.unwrap_or_else(|| {
            let mut processes = self.processes.unwrap_or_else(ProcessConfig::of_this_process);
            processes.clock = clock.clone();
            Arc::new(ProcessRuntime::new(processes, credentials.clone()))
        });
        let mut authenticators = self.authenticators;
        authenticators.push(Arc::new(StaticTokens::follow(registry.clone(), clock).await?));
        Platform::new(Components {
            registry,
            credentials,
            sessions,
            runtime,
            authenticators,
            settings,
        })
        .await
    }
}
