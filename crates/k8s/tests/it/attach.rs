//! Attaching to a pod, over a WebSocket of a small API server.

mod api;
mod calls;
mod faults;
mod owner;
mod real;
mod server;
