//! Replicas: their notices to each other, and the requests that they forward.

mod bus;
mod forward;
mod location;

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use portolan_client::Client;
use portolan_core::Bus;

use self::forward::ReplicaPools;
pub(crate) use self::{
    bus::Notice,
    location::{Handle, ReplicaLocation, random_handle},
};
use crate::config::GatewayConfig;

/// This replica, and its connections to the others.
pub(crate) struct Replicas {
    /// The id of this replica: random per process.
    identity: [u8; 8],
    url: Option<Box<str>>,
    bus: Option<Arc<dyn Bus>>,
    client: Client,
    pools: ReplicaPools,
    timeout: Duration,
}

impl Replicas {
    pub(crate) fn new(config: &GatewayConfig, bus: Option<Arc<dyn Bus>>, client: Client) -> Self {
        let mut identity = [0; 8];
        // Without randomness nothing can be sealed either, so no token will name this replica.
        let _ = SystemRandom::new().fill(&mut identity);
        Self {
            identity,
            url: config.replica.as_ref().map(|url| url.as_str().into()),
            bus,
            client,
            pools: ReplicaPools::default(),
            timeout: config.timeouts.call,
        }
    }

    /// Returns the location of an entry in this replica.
    pub(crate) fn location(&self, handle: Handle) -> ReplicaLocation {
        ReplicaLocation {
            replica: self.identity,
            url: self.url.clone(),
            handle,
        }
    }

    /// Returns whether a location is in this replica.
    pub(crate) fn is_here(&self, location: &ReplicaLocation) -> bool {
        location.replica == self.identity
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
