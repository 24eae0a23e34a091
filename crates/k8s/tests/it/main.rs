//! Tests that need no cluster.

mod api_errors;
mod attach;
mod config;
mod credentials;
mod events;
mod keys;
mod mock_api;
mod object_api;
mod render;
#[path = "../support/wait.rs"]
mod wait;
