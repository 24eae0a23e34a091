//! Clients, gateways and servers for the tests.

pub(crate) mod client;
pub(crate) mod conversation;
pub(crate) mod raw;
pub(crate) mod replica;
pub(crate) mod servers;
mod wait;
pub(crate) mod world;

pub(crate) use self::wait::{DEADLINE, eventually, eventually_async};
