//! HTTP requests to URLs that strangers choose.

mod address;
mod client;
mod config;
mod error;

pub use self::{client::EgressClient, config::EgressConfig, error::EgressError};
