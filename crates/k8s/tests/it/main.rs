//! Tests that need no cluster.

mod attach;
mod faults;
mod mock;
mod render;
