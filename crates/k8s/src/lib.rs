//! MCP servers as Deployments in Kubernetes.
//!
//! - [`KubeRuntime`] is core's [`Runtime`](portolan_core::Runtime) on a cluster: it applies objects, watches them, reports
//!   status, and gives endpoints to gateways. [`KubeConfig`] configures it; [`Connect`] and [`KubeClients`] find the cluster.
//! - [`render`] builds the objects of an install without a cluster; [`yaml`] checks a Deployment that a server brings itself.
//! - [`attach`] is a [`Channel`](portolan_core::Channel) to a stdio server in a pod, through the API server.
//! - [`KubeCredentials`] is core's [`CredentialStore`](portolan_core::CredentialStore) on Secrets, and [`KubeKeys`] a
//!   [`KeyProvider`](portolan_core::KeyProvider) whose keys are in a Secret.
//! - [`name`] has the names and labels of all objects.
//!
//! ```no_run
//! # async fn example() -> portolan_core::Result<()> {
//! use std::sync::Arc;
//! use portolan_core::{
//!     InstallName, Owner, RunSpec, Runtime, ServerName, Source, SystemClock, Transport, memory::MemoryCredentials,
//! };
//! use portolan_k8s::{Connect, KubeConfig, KubeRuntime};
//!
//! let config = KubeConfig::in_namespace("mcp-servers");
//! let runtime = KubeRuntime::connect(Connect::Infer, config, Arc::new(MemoryCredentials::new())).await?;
//!
//! let transport = Transport::Http { port: 3000, path: "/mcp".into() };
//! let source = Source::Image { image: "ghcr.io/acme/time:1".into(), program: None, args: vec![], transport };
//! let spec = RunSpec::new(ServerName::parse("time")?, Owner::Org, source);
//! let install = InstallName::new(&SystemClock);
//! runtime.ensure(&install, &spec).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Permissions
//!
//! The runtime needs the Role of `deploy/rbac.yaml` in each namespace: `get`, `list`, `watch`, `create`, `patch` and `delete`
//! on Deployments, Services, Secrets and network policies, `get`, `list`, `watch` and `delete` on pods, `list` and `watch` on
//! events, and the verbs for logs, exec, attach, port-forward, Leases and autoscalers. [`KubeCredentials`] needs that of `deploy/credentials.yaml`, and [`KubeKeys`] that of `deploy/keys.yaml`. An error
//! names the missing permission.
//!
//! # Events
//!
//! Lifecycle events go to `tracing` with the target `portolan_k8s`. Messages, levels and fields are part of the interface. No
//! event contains a secret, an argument or a line of a log.
//!
//! | level | message | fields | when |
//! | --- | --- | --- | --- |
//! | info | `deployment applied` | `install`, `deployment`, `namespace`, `reason` | objects were written; `reason` is `created`, `changed`, `restarted`, or `repaired` after a change by someone else |
//! | info | `deployment ready` | `install`, `deployment`, `namespace`, `reason` | calls can begin; `reason` is `started`, `restarted`, `woken`, `recovered`, or `found running` |
//! | info | `deployment scaled to zero` | `install`, `deployment`, `namespace`, `reason` | it is asleep; the next call wakes it |
//! | warn | `deployment failed` | `install`, `deployment`, `namespace`, `kind`, `reason` | it does not become ready by waiting alone; `kind` is the [`FailureKind`](portolan_core::FailureKind) |
//! | info | `deployment gone` | `install`, `deployment`, `namespace`, `reason` | the install was removed, here or by another replica of the host |
//! | warn | `apply interrupted` | `install`, `deployment`, `namespace`, `reason` | the API server could not be reached for a write, which is retried |
//! | warn | `watch broke` | `namespace`, `kind`, `reason` | a watch of one kind of objects ended with an error, and is retried; the last known state stays in use |
//! | error | `forbidden` | `namespace`, `reason` | the service account lacks a permission, or an admission webhook denied a request; each reason at most once in five minutes |
//! | warn | `keys not read` | `namespace`, `secret`, `reason` | [`KubeKeys`] could not read its Secret again; the known keys stay in use |
//!
//! A shared deployment has one event for each install that uses it. `deployment` is empty before the first apply.
//!
//! # Features
//!
//! - `k8s-latest`, `k8s-earliest`: select the newest or the oldest Kubernetes API that `k8s-openapi` supports. A host that
//!   depends on `k8s-openapi` itself enables one of its version features instead. Default: none; exactly one is required.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod annotations;
mod api_client;
mod api_compat;
mod apply;
pub mod attach;
mod config;
mod config_check;
mod connect;
mod credentials;
mod deployment_state;
mod deployment_store;
mod endpoint;
mod error;
mod escape;
mod events;
mod exec;
mod garbage_collect;
mod keys;
mod logs;
mod managed_fields;
mod manifest;
pub mod name;
mod namespace;
mod object_cache;
mod plan;
mod port_forward;
mod pull_secrets;
mod reconcile;
pub mod render;
mod reset;
mod restart;
mod restart_counter;
mod runtime;
mod runtime_context;
mod scale_to_zero;
mod status;
mod watch_backoff;
pub mod yaml;

pub use config::{
    BridgeSource, EndpointMode, Environment, GatewayPeer, KubeConfig, NetworkMode, Scheduling, SchedulingDefault,
};
pub use connect::{Connect, KubeClients};
pub use credentials::{KubeCredentials, KubeCredentialsConfig};
pub use keys::{KubeKeys, KubeKeysConfig};
pub use pull_secrets::PullSecret;
pub use runtime::KubeRuntime;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
