//! The gateway over real sockets: clients of every era in front of servers of every kind.

mod auth;
mod cancel;
mod catalogue;
mod channel_questions;
mod conversations;
mod features;
mod intake;
mod limits;
mod listing;
mod matrix;
mod mutations;
mod publications;
mod questions;
mod renewal;
mod replicas;
mod router;
mod sessions;
mod stdio;
mod stream;
mod support;
mod tasks;
mod upstream_faults;
mod upstream_sessions;
mod waking;
