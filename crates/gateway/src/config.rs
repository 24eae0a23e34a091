//! The configuration of a gateway, with defaults.

mod limits;
mod timeouts;

use std::sync::Arc;

use bytes::Bytes;
use portolan_client::ClientConfig;
use portolan_core::AuditSink;
use portolan_wire::{
    era::ProtocolVersion,
    object::{self, RawObject},
};
use url::Url;

pub use self::{limits::GatewayLimits, timeouts::Timeouts};

/// Writes the setters of a config type, one for each field.
macro_rules! setters {
    ($($with:ident($field:ident: $type:ty),)*) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $with(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*
    };
}
use setters;

/// The configuration of a gateway. Every field has a safe default.
///
/// ```
/// use std::time::Duration;
/// use portolan_gateway::{GatewayConfig, GatewayLimits, Hosts, Timeouts};
///
/// let config = GatewayConfig::default()
///     .with_hosts(Hosts::Only(vec!["mcp.example.com".into()]))
///     .with_limits(GatewayLimits::default().with_calls(256))
///     .with_timeouts(Timeouts::default().with_call(Duration::from_secs(30)));
/// assert_eq!(config.limits.calls, 256);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// The name of the gateway towards clients and servers. Default `portolan`.
    pub name: String,
    /// The protocol versions that clients may use, newest first. Default: all four.
    pub versions: Vec<ProtocolVersion>,
    /// The accepted `Host` names. Others get 403: a web page could otherwise reach a server on its reader's machine
    /// (DNS rebinding). Default: loopback names.
    pub hosts: Hosts,
    /// Origins of web pages that may send requests, such as `https://app.example.com`, in addition to those whose host
    /// is in `hosts`. Default: none. Requests without `Origin` do not come from web pages, and are accepted.
    pub origins: Vec<String>,
    /// Limits of sizes and counts.
    pub limits: GatewayLimits,
    /// Timeouts and intervals.
    pub timeouts: Timeouts,
    /// The URL at which other replicas reach this one, without the gateway's name: `http://10.0.0.7:8080/mcp`. A
    /// client's response that arrives at another replica is forwarded to it with the client's credentials, so the
    /// network must be trusted. Default: none; such a response is lost.
    pub replica: Option<Url>,
    /// Whether the gateway polls a task for a modern client without tasks, if a modern server runs a call only as a
    /// task. Default `false`: the client gets the server's error (-32021). Across eras the gateway always polls.
    pub drive_tasks: bool,
    /// The path that the gateway answers below, so that gateway `default` is at `<path>/default`. For a host that mounts
    /// the gateway below a path, and so cuts that path off, see [`McpGateway::at_path`](crate::McpGateway::at_path).
    /// Default `/mcp`.
    pub path: String,
}

impl GatewayConfig {
    /// Sets [`name`](Self::name).
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets [`path`](Self::path).
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets [`replica`](Self::replica).
    #[must_use]
    pub fn with_replica(mut self, replica: Url) -> Self {
        self.replica = Some(replica);
        self
    }

    setters! {
        with_versions(versions: Vec<ProtocolVersion>),
        with_hosts(hosts: Hosts),
        with_origins(origins: Vec<String>),
        with_limits(limits: GatewayLimits),
        with_timeouts(timeouts: Timeouts),
        with_drive_tasks(drive_tasks: bool),
    }

    /// Returns the `serverInfo` of the gateway, as JSON.
    pub(crate) fn server_info(&self) -> Bytes {
        let mut info = RawObject::new();
        info.set("name", object::quote(&self.name));
        info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
        info.to_bytes()
    }

    /// Returns the configuration of the upstream client. Changed definitions are reported to `audit`.
    pub(crate) fn client(&self, audit: Arc<dyn AuditSink>) -> ClientConfig {
        let (limits, timeouts) = (&self.limits, &self.timeouts);
        let mut client = ClientConfig::default().with_name(self.name.clone());
        client.limits.message_bytes = limits.message_bytes;
        client.limits.held_bytes = limits.held_bytes;
        client.limits.items = limits.tools;
        client.limits.definition_bytes = limits.definition_bytes;
        client.limits.schema_depth = limits.schema_depth;
        client.limits.sessions_per_caller = limits.sessions_per_caller;
        client.timeouts.call = timeouts.call;
        client.timeouts.call_total = timeouts.call_total;
        client.timeouts.connect = timeouts.connect;
        client.timeouts.handshake = timeouts.handshake;
        client.timeouts.wake = timeouts.wake;
        client.timeouts.list = timeouts.list;
        client.timeouts.list_age = timeouts.list_age;
        client.timeouts.server_request = timeouts.server_request;
        client.timeouts.state = timeouts.state;
        client.timeouts.stream_after = timeouts.stream_after;
        client.timeouts.listen_grace = timeouts.listen_grace;
        client.may_suspend = limits.suspended > 0;
        client.on_definition_change = Some(Arc::new(move |change| audit.definition_changed(change)));
        client.on_reachability_change = Some(Arc::new(crate::events::reachability));
        client
    }
}

/// The accepted `Host` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]`, with any port.
    #[default]
    Loopback,
    /// Loopback names and these, without ports.
    Only(Vec<String>),
    /// All names; for a gateway behind a proxy that checks them.
    Any,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        let mut versions = ProtocolVersion::ALL.to_vec();
        versions.sort_by_key(|version| std::cmp::Reverse(version.as_str()));
        Self {
            name: "portolan".into(),
            versions,
            hosts: Hosts::default(),
            origins: Vec::new(),
            limits: GatewayLimits::default(),
            timeouts: Timeouts::default(),
            replica: None,
            drive_tasks: false,
            path: "/mcp".into(),
        }
    }
}
