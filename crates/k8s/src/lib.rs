//! MCP servers as Deployments in Kubernetes.

mod apply;
pub mod attach;
mod cell;
mod cluster;
mod config;
mod connect;
mod exec;
mod fault;
mod forward;
mod ground;
mod hub;
mod log;
mod mark;
pub mod name;
mod ownership;
mod pace;
mod plan;
mod pull_secrets;
mod reach;
pub mod render;
mod reset;
mod rest;
mod restart;
mod restarts;
mod runtime;
mod status;
mod sweep;
mod target;
mod view;
mod work;
pub mod yaml;

pub use config::{
    BridgeSource, Environment, GatewayPeer, KubeConfig, NetworkMode, Reach, Scheduling, SchedulingDefault,
};
pub use connect::{Connect, KubeClients};
pub use pull_secrets::PullSecret;
pub use runtime::KubeRuntime;
