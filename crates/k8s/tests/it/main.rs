//! Tests that need no cluster.

mod render;
