//! Speaks JSON-RPC with a stdio server: the pipes of one run, and the channel that outlives its runs.

mod connection;
mod connection_config;
mod dispatcher;
mod handshake;
mod inbound;
mod line;
mod progress;
mod reader;
mod stdio_channel;
mod writer;

#[cfg(feature = "bridge")]
pub(crate) use self::dispatcher::{CallRef, DispatchedCall};
pub use self::{
    connection::Connection,
    connection_config::{ConnectionConfig, LogSink},
    dispatcher::CallError,
    stdio_channel::StdioChannel,
};
pub(crate) use self::{
    connection::spawn_owned,
    dispatcher::{CancelOnDrop, RpcDispatcher, stopped},
    handshake::{Handshake, HandshakeOrder},
    stdio_channel::{Phase, Ready},
};
