//! Serving a platform on an address of its own.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use portolan_core::{Error, Result};
use tokio::net::{TcpListener, ToSocketAddrs};

use crate::{Platform, stop_signal};

/// The longest time that calls have to be given up, once their own time is over.
const CALLS: Duration = Duration::from_millis(500);
/// The longest time that child processes have to end once the calls are done: twice the grace of
/// [`ProcessConfig`](crate::ProcessConfig), and some for the operating system.
const PROCESSES: Duration = Duration::from_secs(12);
/// The same after a second signal.
const SHORT_STOP: Duration = Duration::from_secs(2);

impl Platform {
    /// Serves the gateways at `address` until SIGINT (Ctrl-C) or SIGTERM, then [shuts down](Self::shutdown): calls under
    /// way may finish for at most [`Timeouts::drain`](crate::Timeouts::drain), then child processes have up to 12 s to end
    /// in order. A second signal cuts that short: calls are given up, and child processes have 2 s.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the address cannot be listened on; [`Error::Unavailable`] if the listener fails.
    pub async fn serve(&self, address: impl ToSocketAddrs + Display) -> Result<()> {
        let first = stop_signal();
        let listener = match TcpListener::bind(&address).await {
            Ok(listener) => listener,
            Err(fault) => {
                let problem = format!("cannot listen on {address}: {fault}; choose another address");
                return Err(Error::invalid("address", problem));
            }
        };
        let hurried = AtomicBool::new(false);
        let second = async {
            stop_signal().await;
            hurried.store(true, Ordering::Relaxed);
        };
        let served = portolan_gateway::serve_until(listener, self.gateway.clone(), first, second).await;
        let processes = if hurried.load(Ordering::Relaxed) {
            SHORT_STOP
        } else {
            PROCESSES
        };
        let ended = tokio::select! {
            ended = self.end(CALLS, CALLS + processes) => ended,
            // What is left is killed, as that future is dropped.
            () = stop_signal() => self.end(Duration::ZERO, SHORT_STOP).await,
        };
        served.map_err(|fault| Error::unavailable("the listener", fault))?;
        ended
    }
}
