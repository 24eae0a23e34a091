//! Tests that need no cluster.

mod api_errors;
mod attach;
mod config;
mod mock_api;
mod render;
