//! The configuration of a client.

use std::{sync::Arc, time::Duration};

use portolan_core::DefinitionChange;

use crate::reachability::ReachabilityHook;

/// Called when a server lists another definition under a known tool name.
pub type DefinitionHook = Arc<dyn Fn(&DefinitionChange<'_>) + Send + Sync>;

/// The configuration of a client.
///
/// ```
/// use portolan_client::ClientConfig;
///
/// let config = ClientConfig::default().with_name("my checker");
/// assert_eq!(config.name, "my checker");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The name in `clientInfo`. Default `portolan`.
    pub name: String,
    /// The bounds.
    pub limits: ClientLimits,
    /// The deadlines.
    pub timeouts: ClientTimeouts,
    /// `true` if a call of a modern client may be suspended while a legacy server waits for input. If false, such servers
    /// are told that the client has no capabilities. Default true.
    pub may_suspend: bool,
    /// Called when the definition of a tool changes. Default none.
    pub on_definition_change: Option<DefinitionHook>,
    /// Called when a server can no longer be reached, and when it can again. Default none.
    pub on_reachability_change: Option<ReachabilityHook>,
}

/// The bounds of a client. What exceeds one is rejected or left out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientLimits {
    /// The size of one message from a server, in bytes. Default 64 MiB.
    pub message_bytes: usize,
    /// The size of a message that has to be parsed as a whole, in bytes. Default 32 MiB.
    pub held_bytes: usize,
    /// The number of items that are read of each list of one server. Default 10,000.
    pub items: usize,
    /// The size of the definition of one tool, prompt, resource or template, in bytes; a larger one is left out. Default
    /// 256 KiB.
    pub definition_bytes: usize,
    /// The nesting depth of a definition; a deeper one is left out. Default 64.
    pub schema_depth: usize,
    /// The number of sessions of one modern caller at one legacy server that may send it requests. Default 8.
    pub sessions_per_caller: usize,
}

/// The deadlines of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientTimeouts {
    /// The longest silence of a server during a call; whatever it sends on the call's stream restarts it, comments and pings
    /// too. Default 2 min.
    pub call: Duration,
    /// The longest duration of a call, however much its server sends. Default 1 h.
    pub call_total: Duration,
    /// The longest time to open a connection. Default 10 s.
    pub connect: Duration,
    /// The longest time for a handshake or discovery. Default 30 s.
    pub handshake: Duration,
    /// The longest time that a call waits for a server which sleeps or starts. Default 30 s.
    pub wake: Duration,
    /// The longest time to fetch a list. Default 15 s.
    pub list: Duration,
    /// The age after which a list is fetched again in the background. Default 60 s.
    pub list_age: Duration,
    /// The longest time that a server's request to a client may stay open. Default 5 min.
    pub server_request: Duration,
    /// How long a suspended call is kept for the request that resumes it. Default 1 h.
    pub state: Duration,
    /// The time after which a waiting call of a legacy client is polled once more, so that its relay can begin a stream.
    /// Default 100 ms.
    pub stream_after: Duration,
    /// How long a server is still followed after its last listener left. Default 30 s.
    pub listen_grace: Duration,
}

impl ClientConfig {
    /// Sets the name in `clientInfo`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: ClientLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the deadlines.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: ClientTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the hook that is called when the definition of a tool changes.
    #[must_use]
    pub fn with_definition_hook(mut self, hook: DefinitionHook) -> Self {
        self.on_definition_change = Some(hook);
        self
    }

    /// Sets what is called when a server can no longer be reached, and when it can again.
    #[must_use]
    pub fn with_reachability_hook(mut self, hook: ReachabilityHook) -> Self {
        self.on_reachability_change = Some(hook);
        self
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            name: "portolan".into(),
            limits: ClientLimits::default(),
            timeouts: ClientTimeouts::default(),
            may_suspend: true,
            on_definition_change: None,
            on_reachability_change: None,
        }
    }
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .field("may_suspend", &self.may_suspend)
            .finish_non_exhaustive()
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 20,
            held_bytes: 32 << 20,
            items: 10_000,
            definition_bytes: 256 << 10,
            schema_depth: 64,
            sessions_per_caller: 8,
        }
    }
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(120),
            call_total: Duration::from_secs(3600),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(30),
            wake: Duration::from_secs(30),
            list: Duration::from_secs(15),
            list_age: Duration::from_secs(60),
            server_request: Duration::from_secs(300),
            state: Duration::from_secs(3600),
            stream_after: Duration::from_millis(100),
            listen_grace: Duration::from_secs(30),
        }
    }
}
