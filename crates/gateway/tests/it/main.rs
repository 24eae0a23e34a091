//! The gateway over real sockets: clients of every era in front of servers of every kind.

mod auth;
mod cancel;
mod intake;
mod matrix;
mod mutations;
mod support;
