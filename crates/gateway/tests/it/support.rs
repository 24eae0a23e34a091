//! Clients, gateways and servers for the tests.

pub(crate) mod asker;
pub(crate) mod client;
pub(crate) mod conversation;
pub(crate) mod jobs;
pub(crate) mod library;
pub(crate) mod raw;
pub(crate) mod replica;
pub(crate) mod script;
pub(crate) mod talker;
pub(crate) mod teller;
mod wait;
pub(crate) mod world;

pub(crate) use self::wait::{DEADLINE, eventually, eventually_async};
