#![cfg_attr(docsrs, feature(doc_cfg))]
//! Who calls a gateway, and as whom the gateway calls servers.
//!
//! [`EgressClient`] fetches what a stranger's URL names: metadata, keys, tokens.

mod egress;

pub use egress::{EgressClient, EgressConfig, EgressError};
