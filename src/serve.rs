//! Serving a platform on an address of its own.

use std::{fmt::Display, time::Duration};

use portolan_core::{Error, Result};
use tokio::net::{TcpListener, ToSocketAddrs};

use crate::{Platform, stop_signal};

/// The longest time that child processes have to end once the calls are done.
const SHUTDOWN: Duration = Duration::from_secs(5);

impl Platform {
    /// Serves the gateways at `address` until SIGINT (Ctrl-C) or SIGTERM, then [shuts down](Self::shutdown): calls under
    /// way may finish for at most 30 s, child processes for 5 s more.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the address cannot be listened on; [`Error::Unavailable`] if the listener fails.
    pub async fn serve(&self, address: impl ToSocketAddrs + Display) -> Result<()> {
        let listener = match TcpListener::bind(&address).await {
            Ok(listener) => listener,
            Err(fault) => {
                let problem = format!("cannot listen on {address}: {fault}; choose another address");
                return Err(Error::invalid("address", problem));
            }
        };
        let served = portolan_gateway::serve(listener, self.gateway.clone(), stop_signal()).await;
        let ended = self.shutdown(SHUTDOWN).await;
        served.map_err(|fault| Error::unavailable("the listener", fault))?;
        ended
    }
}
