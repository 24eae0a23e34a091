//! Tests on a real cluster.
//!
//! They need `PORTOLAN_KUBECONFIG`, the path of an administrator's kubeconfig; `cargo xtask test --only cluster` brings a
//! cluster up and sets it. Each test has a namespace of its own, and works as the service account of `deploy/rbac.yaml`.

mod room;
mod servers;

mod attached;
mod calls;
mod cold;
mod contract;
mod copies;
mod drift;
mod failure;
mod gate;
mod inside;
mod lifecycle;
mod outage;
mod pulling;
mod resetting;
mod restarting;
mod shared;
mod sleeping;
mod starting;
mod yaml;
