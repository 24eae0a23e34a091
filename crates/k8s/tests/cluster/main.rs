//! Tests on a real cluster.
//!
//! They need `PORTOLAN_KUBECONFIG`, the path of an administrator's kubeconfig; `cargo xtask test --only cluster` brings a
//! cluster up and sets it. Each test has a namespace of its own, and uses the service account of `deploy/rbac.yaml`.

mod sandbox;
mod servers;
#[path = "../support/wait.rs"]
mod wait;

mod attach;
mod calls;
mod contract;
mod credentials;
mod drift;
mod failure;
mod keys;
mod killed_writer;
mod lifecycle;
mod logs_exec;
mod many_installs;
mod multitenant;
mod outage;
mod pull_secrets;
mod replicas;
mod reset;
mod restart;
mod scale_to_zero;
mod start_latency;
mod test_gateway;
mod yaml;
