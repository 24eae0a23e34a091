//! Discovery: what a server can do.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Endpoint, Result, Tool, UpstreamCredential};

/// Asks a server what it can do.
///
/// # Contract
///
/// - All pages are read, within a documented bound.
/// - One bad tool definition is left out and reported in a log; it does not lose the list.
/// - It changes nothing on the server, and may be repeated.
#[async_trait]
pub trait Discovery: Debug + Send + Sync {
    /// The tools of the server at `endpoint`, in the order in which it gave them.
    async fn tools(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<Vec<Tool>>;
}
