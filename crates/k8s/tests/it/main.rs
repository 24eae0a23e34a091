//! Tests that need no cluster.

mod attach;
mod config;
mod faults;
mod mock;
mod render;
