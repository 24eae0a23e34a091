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
#![cfg_attr(feature = "sqlite", doc = "[`SqlStore`]: SqlStore")]
#![doc = ""]
#![doc = include_str!("../README.md")]

mod components;
mod gateway;
#[cfg(feature = "local")]
mod local;
mod platform;
mod tokens;

#[cfg(feature = "conformance")]
pub use portolan_core::conformance;
pub use portolan_core::{
    Answers, Assignment, Authenticator, Caller, Decision, Delivery, Endpoint, Error, Field, GatewayName, Install,
    InstallName, Naming, Owner, Policy, Registry, ResourceNaming, Result, Runtime, Secret, Selection, ServerName,
    ServerRequestPolicy, ServerSpec, Subject, TeamId, UserId,
    orchestrator::{InstallRequest, Progress},
};
#[cfg(feature = "serve")]
pub use portolan_gateway::serve;
pub use portolan_gateway::{
    GatewayConfig, GatewayLimits, GatewayParts, Hosts, McpGateway, StaticTokens, StoredCredentials, Timeouts,
    TokenKeys, Upstream, digest,
};
#[cfg(feature = "kubernetes")]
pub use portolan_k8s::{Connect, KubeClients, KubeConfig, KubeRuntime};
#[cfg(feature = "process")]
pub use portolan_process::{ProcessConfig, ProcessRuntime, RestartPolicy, ServerCommand, StdioServer, WorkDir};
#[cfg(feature = "sqlite")]
pub use portolan_storage_sql::{SealingKeys, SqlStore};

pub use self::{
    components::{Components, Settings},
    gateway::GatewayHandle,
    platform::Platform,
};

/// Domain types, contracts, orchestrator and in-memory backends: what backends of one's own are written against.
pub use portolan_core as core;
/// The runtime on Kubernetes: its environments, networks, and objects as they are applied.
#[cfg(feature = "kubernetes")]
pub use portolan_k8s as kubernetes;
/// MCP on the wire, without I/O.
pub use portolan_wire as wire;
