//! MCP servers as Deployments in Kubernetes.

mod annotations;
mod api_client;
mod apply;
pub mod attach;
mod backoff;
mod config;
mod connect;
mod deployment_state;
mod deployment_store;
mod endpoint;
mod error;
mod exec;
mod garbage_collect;
mod logs;
mod managed_fields;
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
pub mod yaml;

pub use config::{
    BridgeSource, EndpointMode, Environment, GatewayPeer, KubeConfig, NetworkMode, Scheduling, SchedulingDefault,
};
pub use connect::{Connect, KubeClients};
pub use pull_secrets::PullSecret;
pub use runtime::KubeRuntime;
