//! The keys that MCP reserves in `_meta`.
//!
//! All other keys belong to clients and servers and are relayed unchanged, in both directions.

/// The member of params and results that holds metadata.
pub const META: &str = "_meta";

/// Request, required: the protocol version of this request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Request, required: the client's capabilities, with every request.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Request, optional: the client's name and version, as it states them. For display and logs only.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// Request, optional: asks for log messages at or above this level on this request's stream.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// Result: the server's name and version, as it states them. For display and logs only.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Messages of a listen stream: the JSON-RPC id of the listen request, type preserved.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Request, optional: the token of progress notifications.
pub const PROGRESS_TOKEN: &str = "progressToken";

/// W3C trace context.
pub const TRACE_PARENT: &str = "traceparent";

/// W3C trace context, vendor part.
pub const TRACE_STATE: &str = "tracestate";

/// W3C baggage.
pub const BAGGAGE: &str = "baggage";

/// 2025-11-25: the task that a message belongs to, as an object with its `taskId`.
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The capability key of the Tasks extension (SEP-2663).
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";
