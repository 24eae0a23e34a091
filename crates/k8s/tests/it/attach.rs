//! Attaching to a pod, over a WebSocket of a small API server.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api_server;
mod calls;
mod failures;
mod ownership;
mod stdio;
