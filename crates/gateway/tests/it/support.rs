//! Clients, gateways and servers for the tests.

pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod dialogue;
pub(crate) mod gateway;
pub(crate) mod raw;
pub(crate) mod replicas;
pub(crate) mod servers;
pub(crate) mod upstreams;
mod wait;

pub(crate) use self::wait::{DEADLINE, eventually, eventually_async};
