//! Attaching to a pod, over a WebSocket of a small API server.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod calls;
mod faults;
mod owner;
mod server;
