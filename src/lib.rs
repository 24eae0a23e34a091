#![cfg_attr(docsrs, feature(doc_cfg))]
// The README links to source files; the first definition of a link counts, so these lead to the items instead.
//! [`Authenticator`]: Authenticator
//! [`Bus`]: portolan_core::Bus
//! [`CredentialRefresh`]: portolan_core::CredentialRefresh
//! [`GatewayConfig`]: GatewayConfig
//! [`GatewayLimits`]: GatewayLimits
//! [`KubernetesOptions`]: portolan_core::KubernetesOptions
//! [`McpGateway`]: McpGateway
//! [`Platform`]: Platform
//! [`ResourceNaming`]: ResourceNaming
//! [`Sharing`]: portolan_core::Sharing
//! [`Timeouts`]: Timeouts
//! [`TokenKeys`]: TokenKeys
#![cfg_attr(feature = "kubernetes", doc = "[`KubeConfig::idle`]: KubeConfig::idle")]
#![cfg_attr(feature = "process", doc = "[`ProcessConfig`]: ProcessConfig")]
#![cfg_attr(any(feature = "sqlite", feature = "postgres"), doc = "[`SqlStore`]: SqlStore")]
#![doc = ""]
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod background;
#[cfg(feature = "local")]
mod builder;
mod catalogue;
mod components;
#[cfg(feature = "local")]
mod database;
mod gateway;
mod platform;
#[cfg(feature = "serve")]
mod serve;
mod shutdown;
mod tokens;

#[cfg(feature = "conformance")]
pub use portolan_core::conformance;
pub use portolan_core::{
    Action, Alias, AllowAll, Answers, Assignment, AuditAction, AuditEvent, AuditOutcome, AuditSink, AuthError,
    AuthErrorKind, AuthFailed, Authenticator, BoxError, Bus, Caller, Challenge, Channel, Claims, Clock,
    CredentialBroker, CredentialContext, CredentialKey, CredentialReader, CredentialRefresh, CredentialRefusal,
    CredentialStore, Decision, DefinitionChange, Delivery, Discovery, Endpoint, Error, ErrorKind, FailMode, Failure,
    FailureAction, FailureKind, Field, FieldKey, FieldKind, Gateway, GatewayName, GatewaySpec, Guard, GuardContext,
    GuardDecision, Install, InstallName, InstallState, KeyFile, KeyProvider, KubernetesOptions, Labels, MethodUse,
    Naming, OneTimeStore, Owner, Policy, PolicyFn, PromptUse, ProtocolEra, Publication, PublicationChange,
    RefreshGuard, Registry, RegistryExt, ResourceNaming, ResourceUse, Result, Role, RunSpec, Runtime, Scope, Secret,
    Selection, ServerName, ServerRequestPolicy, ServerSnapshot, ServerSpec, SessionStore, SharedError, Sharing, Source,
    Status, StatusEvent, Subject, SystemClock, TeamId, TokenDigest, TokenGrant, Tool, ToolName, ToolSet, ToolUse,
    TraceAudit, Transport, UpstreamCredential, UserId, Visibility,
    orchestrator::{
        InstallRequest, InstallStatus, LiveState, Options as OrchestratorOptions, Orchestrator, OrchestratorParts,
        Progress, Reinstall, RepairReport, ServerInstalls, ServerUpdate, UpdateOutcome,
    },
};
pub use portolan_gateway::{
    Body, Builder, GatewayConfig, GatewayLimits, GatewayParts, Hosts, McpGateway, StaticTokens, StoredCredentials,
    Timeouts, TokenKeys, Upstream, digest,
};
#[cfg(feature = "serve")]
pub use portolan_gateway::{serve, serve_until};
#[cfg(feature = "import")]
pub use portolan_import as import;
#[cfg(feature = "kubernetes")]
pub use portolan_k8s::{
    Connect, KubeClients, KubeConfig, KubeCredentials, KubeCredentialsConfig, KubeKeys, KubeKeysConfig, KubeRuntime,
};
#[cfg(feature = "process")]
pub use portolan_process::{
    PerSessionServer, ProcessConfig, ProcessLimits, ProcessRuntime, RestartPolicy, ServerCommand, StdioServer, WorkDir,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use portolan_storage_sql::{
    AuditOptions, AuditQuery, BackupKey, BackupSummary, Keyring, Migrations, SealingKeys, SqlAudit, SqlConfig,
    SqlStore, TlsRule,
};

#[cfg(feature = "local")]
pub use self::builder::PlatformBuilder;
#[cfg(any(feature = "serve", feature = "axum"))]
pub use self::shutdown::stop_signal;
pub use self::{
    components::{Components, Settings},
    gateway::GatewayHandle,
    platform::Platform,
};

/// Domain types, traits and their contracts, the orchestrator and in-memory backends: what a backend is written against.
pub use portolan_core as core;
/// The runtime on Kubernetes: its environments, networks, and objects as they are applied.
#[cfg(feature = "kubernetes")]
pub use portolan_k8s as kubernetes;
/// MCP on the wire, without I/O.
pub use portolan_wire as wire;
