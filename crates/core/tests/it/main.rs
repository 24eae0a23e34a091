//! What the crate does, seen from outside.

mod conformance;
mod orchestrator;
