//! How a client behaves, each setting with its default.

use std::{sync::Arc, time::Duration};

use portolan_core::DefinitionChange;

/// Called when a server lists another definition under a name that it used before.
pub type DefinitionHook = Arc<dyn Fn(&DefinitionChange<'_>) + Send + Sync>;

/// How a client behaves.
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
    /// Bounds.
    pub limits: ClientLimits,
    /// Deadlines.
    pub timeouts: ClientTimeouts,
    /// Whether a call of a modern client may be suspended while a legacy server asks something. Without it, such servers are
    /// told that nothing can be asked. Default true.
    pub may_suspend: bool,
    /// Called when the definition of a tool changes. Default none.
    pub on_definition_change: Option<DefinitionHook>,
}

/// Bounds of a client. What goes over one is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientLimits {
    /// Bytes of one message from a server. Default 64 MiB.
    pub message_bytes: usize,
    /// Bytes of a message that has to be held to be understood. Default 32 MiB.
    pub held_bytes: usize,
    /// Items that are taken from each list of one server. Default 10,000.
    pub items: usize,
    /// Bytes of the definition of one tool, prompt, resource or template; a larger one is left out. Default 256 KiB.
    pub definition_bytes: usize,
    /// How deep a definition may nest; a deeper one is left out. Default 64.
    pub schema_depth: usize,
    /// Sessions that one modern caller has at one legacy server that may ask it something. Default 8.
    pub sessions_per_caller: usize,
}

/// Deadlines of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientTimeouts {
    /// How long a server may be silent during a call; progress begins the wait anew. Default 2 min.
    pub call: Duration,
    /// How long a call may take in all. Default 1 h.
    pub call_total: Duration,
    /// How long a connection may take to open. Default 10 s.
    pub connect: Duration,
    /// How long a server may take to introduce itself. Default 30 s.
    pub handshake: Duration,
    /// How long a call waits for a server that sleeps or starts. Default 30 s.
    pub wake: Duration,
    /// How long a server may take to list what it has. Default 15 s.
    pub list: Duration,
    /// How old a list may be before it is fetched again in the background. Default 60 s.
    pub list_age: Duration,
    /// How long a server's request to a client may stay open. Default 5 min.
    pub server_request: Duration,
    /// How long a call that was left for another request to resume is kept. Default 1 h.
    pub state: Duration,
    /// After how long a waiting call of a legacy client is polled once more, so that its relay can begin a stream. Default
    /// 100 ms.
    pub stream_after: Duration,
    /// How long a server is listened to after the last subscriber left. Default 30 s.
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

    /// Sets what is called when the definition of a tool changes.
    #[must_use]
    pub fn with_definition_hook(mut self, hook: DefinitionHook) -> Self {
        self.on_definition_change = Some(hook);
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
