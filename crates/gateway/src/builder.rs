//! A builder for gateways whose servers are given in code, without a registry.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use http::HeaderName;
use portolan_client::UpstreamServer;
use portolan_core::{
    Alias, AllowAll, AuditSink, Authenticator, Bus, Caller, Channel, CredentialBroker, CredentialContext, Endpoint,
    Error, GatewayName, GatewaySpec, Guard, HttpEndpoint, Install, InstallName, Naming, Owner, Policy, ProtocolEra,
    Publication, ResourceNaming, Result, Route, Secret, ServerName, ServerRequestPolicy, ServerSpec, SessionStore,
    Sharing, Source, SystemClock, TraceAudit, UpstreamCredential, memory::MemorySessions,
};

#[cfg(feature = "process")]
use crate::children::Child;
use crate::{GatewayConfig, GatewayParts, McpGateway, TokenKeys};

/// A server behind a gateway, for [`Builder::upstream`].
#[derive(Clone, Debug)]
pub struct Upstream {
    place: Address,
    headers: Vec<(String, Secret)>,
    era: ProtocolEra,
    server_requests: ServerRequestPolicy,
    sharing: Sharing,
}

#[derive(Clone)]
enum Address {
    Http(String),
    Channel(Arc<dyn Channel>),
    #[cfg(feature = "process")]
    Command(portolan_process::ServerCommand),
}

impl Upstream {
    /// Creates a server at a URL. The gateway checks the URL when it is built.
    ///
    /// ```
    /// use portolan_gateway::Upstream;
    ///
    /// let upstream = Upstream::http("https://api.example.com/mcp").bearer("the server's token");
    /// # let _ = upstream;
    /// ```
    pub fn http(url: impl Into<String>) -> Self {
        Self::at(Address::Http(url.into()))
    }

    /// Creates a stdio server behind a channel that the host owns.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use portolan_core::Channel;
    /// use portolan_gateway::Upstream;
    ///
    /// fn upstream(channel: Arc<dyn Channel>) -> Upstream {
    ///     Upstream::channel(channel)
    /// }
    /// ```
    pub fn channel(channel: Arc<dyn Channel>) -> Self {
        Self::at(Address::Channel(channel))
    }

    /// Creates a stdio server from a program and its arguments, started as a child process when the gateway is built.
    ///
    /// ```
    /// use portolan_gateway::Upstream;
    ///
    /// let upstream = Upstream::command("my-mcp-server", ["--verbose"]);
    /// # let _ = upstream;
    /// ```
    #[cfg(feature = "process")]
    pub fn command<A: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        Self::at(Address::Command(portolan_process::ServerCommand::new(program, args)))
    }

    /// Sends `Authorization: Bearer <token>` with every request.
    #[must_use]
    pub fn bearer(self, token: impl Into<Secret>) -> Self {
        let value = Secret::new(format!("Bearer {}", token.into().reveal()));
        self.header("authorization", value)
    }

    /// Sends a header with every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the protocol era of the server. Default: the gateway detects it.
    #[must_use]
    pub fn era(mut self, era: ProtocolEra) -> Self {
        self.era = era;
        self
    }

    /// Sets which requests the server may send to clients. Default: elicitation, but neither sampling nor roots.
    #[must_use]
    pub fn server_requests(mut self, server_requests: ServerRequestPolicy) -> Self {
        self.server_requests = server_requests;
        self
    }

    /// Sets whether all callers share one process of a [`command`](Self::command), or each conversation has its own, for
    /// servers that hold its state. Default: [`Sharing::Shared`].
    ///
    /// ```
    /// use portolan_core::Sharing;
    /// use portolan_gateway::Upstream;
    ///
    /// let upstream = Upstream::command("my-browser-server", [""; 0]).sharing(Sharing::PerSession { max: 20 });
    /// # let _ = upstream;
    /// ```
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Returns how many conversations may have a process of their own; `None` if all share one.
    fn conversations(&self, name: &ServerName) -> Result<Option<u16>> {
        let is_command = match &self.place {
            #[cfg(feature = "process")]
            Address::Command(_) => true,
            _ => false,
        };
        match self.sharing {
            Sharing::Shared => Ok(None),
            Sharing::PerSession { max } if is_command => Ok(Some(max)),
            _ => Err(Error::invalid(
                name.as_str(),
                "has a process for each conversation only as a command; use Upstream::command, or Sharing::Shared",
            )),
        }
    }

    fn at(place: Address) -> Self {
        Self {
            place,
            headers: Vec::new(),
            era: ProtocolEra::default(),
            server_requests: ServerRequestPolicy::default(),
            sharing: Sharing::default(),
        }
    }
}

/// Builds a gateway for given servers: see [`McpGateway::builder`].
#[derive(Debug)]
pub struct Builder {
    name: String,
    naming: Naming,
    uris: ResourceNaming,
    aliases: Vec<Alias>,
    instructions: Option<String>,
    upstreams: Vec<(String, Upstream)>,
    authenticators: Vec<Arc<dyn Authenticator>>,
    config: GatewayConfig,
    keys: Option<TokenKeys>,
    policy: Arc<dyn Policy>,
    guards: Vec<Arc<dyn Guard>>,
    audit: Arc<dyn AuditSink>,
    sessions: Arc<dyn SessionStore>,
    bus: Option<Arc<dyn Bus>>,
    #[cfg(feature = "process")]
    processes: Option<portolan_process::ProcessConfig>,
}

impl McpGateway {
    /// Returns a builder for a gateway with remote servers or child processes, without registry or database.
    ///
    /// ```
    /// use portolan_gateway::{McpGateway, StaticTokens, Upstream, digest};
    ///
    /// # async fn example() -> portolan_core::Result<()> {
    /// let gateway = McpGateway::builder()
    ///     .upstream("github", Upstream::http("https://api.example.com/mcp").bearer("their token"))
    ///     .authenticator(StaticTokens::from_users([("alice", digest("a long random token"))])?)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder {
            name: "default".into(),
            naming: Naming::default(),
            uris: ResourceNaming::default(),
            aliases: Vec::new(),
            instructions: None,
            upstreams: Vec::new(),
            authenticators: Vec::new(),
            config: GatewayConfig::default(),
            keys: None,
            policy: Arc::new(AllowAll),
            guards: Vec::new(),
            audit: Arc::new(TraceAudit),
            sessions: Arc::new(MemorySessions::default()),
            bus: None,
            #[cfg(feature = "process")]
            processes: None,
        }
    }
}

impl Builder {
    /// Adds a server under a name.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<String>, upstream: Upstream) -> Self {
        self.upstreams.push((name.into(), upstream));
        self
    }

    /// Adds an authenticator; they are tried in order. Without any, every request is rejected.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.authenticators.push(Arc::new(authenticator));
        self
    }

    /// Sets the name of the gateway. Default `default`, so that it is served at `/mcp/default`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how tools and prompts are named. Default [`Naming::Prefix`].
    #[must_use]
    pub fn naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// Sets how resources are named. Default [`ResourceNaming::Plain`].
    #[must_use]
    pub fn resource_naming(mut self, naming: ResourceNaming) -> Self {
        self.uris = naming;
        self
    }

    /// Gives a tool or prompt an alias, in place of the name by `naming`.
    #[must_use]
    pub fn alias(mut self, alias: Alias) -> Self {
        self.aliases.push(alias);
        self
    }

    /// Sets the instructions for clients. Default: those of the only server, if there is one.
    #[must_use]
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// Sets the configuration. Default [`GatewayConfig::default`].
    #[must_use]
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the keys that seal session ids and other tokens. Default: a random key, so that sessions end with this
    /// process.
    #[must_use]
    pub fn keys(mut self, keys: TokenKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets the policy. Default: every caller may use everything.
    #[must_use]
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Adds a guard, which checks arguments and results. Guards run in the order in which they are added.
    #[must_use]
    pub fn guard(mut self, guard: impl Guard + 'static) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Sets the audit sink. Default: `tracing` events with target `portolan::audit`.
    #[must_use]
    pub fn audit(mut self, audit: impl AuditSink + 'static) -> Self {
        self.audit = Arc::new(audit);
        self
    }

    /// Sets the session store and the bus that this replica shares with the others. Replicas must also share their
    /// keys. Default: in memory, for a single replica.
    #[must_use]
    pub fn replicas(mut self, sessions: Arc<dyn SessionStore>, bus: Arc<dyn Bus>) -> Self {
        self.sessions = sessions;
        self.bus = Some(bus);
        self
    }

    /// Sets how child processes run. Default: with the search path, working directory and locale of this process.
    #[cfg(feature = "process")]
    #[must_use]
    pub fn processes(mut self, processes: portolan_process::ProcessConfig) -> Self {
        self.processes = Some(processes);
        self
    }

    /// Builds the gateway, publishes it, and starts its child processes.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Invalid`] outside of a tokio runtime, and if a name, a URL or a header is invalid, or two servers
    /// have the same name; [`Error::Backend`] if no random key can be created.
    pub fn build(mut self) -> Result<McpGateway> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::invalid(
                "gateway",
                "must be built within a tokio runtime; call build from an async function",
            ));
        }
        let keys = self.keys.take().map_or_else(TokenKeys::random, Ok)?;
        let mut spec = GatewaySpec::new(GatewayName::parse(&self.name)?);
        spec.naming = self.naming;
        spec.resource_naming = self.uris;
        spec.aliases = std::mem::take(&mut self.aliases);
        spec.instructions = self.instructions.take();
        let upstreams = std::mem::take(&mut self.upstreams);
        let mut servers = Vec::with_capacity(upstreams.len());
        for (name, upstream) in upstreams {
            servers.push(self.server(&name, upstream)?);
        }
        let credentials = servers
            .iter()
            .map(|server| (server.install.name, server.credential.clone()))
            .collect();
        let gateway = McpGateway::new(GatewayParts {
            config: self.config,
            keys,
            authenticators: self.authenticators,
            policy: self.policy,
            broker: Arc::new(FixedCredentials(credentials)),
            guards: self.guards,
            runtime: None,
            sessions: self.sessions,
            bus: self.bus,
            audit: self.audit,
            clock: Arc::new(SystemClock),
        });
        let mut upstreams = Vec::with_capacity(servers.len());
        let mut routes = Vec::with_capacity(servers.len());
        for server in servers {
            let upstream = Arc::new(UpstreamServer::at_endpoint(
                gateway.client(),
                server.spec.clone(),
                server.endpoint,
            )?);
            gateway.adopt(server.install.name, &upstream);
            #[cfg(feature = "process")]
            if let Some(child) = server.child {
                gateway.own(child);
            }
            routes.push(Route::new(server.spec, vec![server.install], true));
            upstreams.push((upstream, server.credential));
        }
        gateway.publish_now(Publication::new(spec, routes))?;
        for (upstream, credential) in upstreams {
            gateway.warm(upstream, credential);
        }
        Ok(gateway)
    }

    fn server(&self, name: &str, upstream: Upstream) -> Result<Server> {
        let name = ServerName::parse(name)?;
        // Refuses what cannot be shared so, whatever it is.
        #[cfg_attr(not(feature = "process"), expect(unused_variables, reason = "for processes"))]
        let conversations = upstream.conversations(&name)?;
        #[cfg(feature = "process")]
        let mut child = None;
        let (source, endpoint) = match upstream.place {
            Address::Http(url) => {
                let source = ServerSpec::remote(&name, url)?.source;
                let Source::Remote { url } = &source else {
                    return Err(Error::invalid(name.as_str(), "has no URL"));
                };
                let endpoint = HttpEndpoint::new(url.clone());
                (source, Endpoint::Http(endpoint))
            }
            Address::Channel(channel) => (channel_source(), Endpoint::Channel(channel)),
            #[cfg(feature = "process")]
            Address::Command(command) => {
                let processes = self
                    .processes
                    .clone()
                    .unwrap_or_else(portolan_process::ProcessConfig::of_this_process);
                let command = command
                    .with_era(upstream.era)
                    .with_server_requests(upstream.server_requests);
                let server = Child::start(name.as_str(), command, conversations, &processes)?;
                let endpoint = Endpoint::Channel(server.channel());
                child = Some(server);
                (channel_source(), endpoint)
            }
        };
        let mut credential = UpstreamCredential::none();
        for (header, value) in upstream.headers {
            let header = HeaderName::try_from(header.as_str())
                .map_err(|_| Error::invalid(name.as_str(), format!("{header:?} is not a valid header name")))?;
            credential.headers.push((header, value));
        }
        let install = Install::new(
            InstallName::new(&SystemClock),
            name.clone(),
            Owner::Org,
            jiff::Timestamp::UNIX_EPOCH,
        );
        let mut spec = ServerSpec::new(name, source)?;
        spec.era = upstream.era;
        spec.server_requests = upstream.server_requests;
        spec.sharing = upstream.sharing;
        Ok(Server {
            #[cfg(feature = "process")]
            child,
            spec: Arc::new(spec),
            install: Arc::new(install),
            endpoint,
            // All callers share one credential, and so the lists of the server.
            credential: Arc::new(credential.with_scope("")),
        })
    }
}

struct Server {
    /// The process that the gateway started for it, and so ends.
    #[cfg(feature = "process")]
    child: Option<Child>,
    spec: Arc<ServerSpec>,
    install: Arc<Install>,
    endpoint: Endpoint,
    credential: Arc<UpstreamCredential>,
}

/// Returns a placeholder source for a server behind a channel.
fn channel_source() -> Source {
    Source::Command {
        program: "channel".into(),
        args: Vec::new(),
        transport: Default::default(),
    }
}

/// Fixed credentials per install.
#[derive(Debug)]
struct FixedCredentials(BTreeMap<InstallName, Arc<UpstreamCredential>>);

#[async_trait]
impl CredentialBroker for FixedCredentials {
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        Ok(self.0.get(&context.install.name).cloned().unwrap_or_default())
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "Http",
            Self::Channel(_) => "Channel",
            #[cfg(feature = "process")]
            Self::Command(_) => "Command",
        })
    }
}
