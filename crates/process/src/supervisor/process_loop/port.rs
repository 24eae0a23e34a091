//! The port of a server that is reached by HTTP.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use portolan_core::{Failure, FailureKind};
use tokio::{net::TcpStream, time::Instant};

/// How often a connection to the port is tried.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Fails if another program has the port: it would be taken for the server.
pub(super) fn check_free(port: u16) -> Result<(), Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => Err(
            Failure::new(FailureKind::Start, format!("port {port} cannot be used: {error}"))
                .remedy("give each server a port of its own"),
        ),
    }
}

/// Waits until the port accepts connections.
pub(super) async fn wait_for(port: u16, deadline: Instant) -> Result<(), Failure> {
    while Instant::now() < deadline {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(Failure::new(
        FailureKind::Timeout,
        format!("nobody listens on port {port} of this machine"),
    )
    .remedy("see that the server listens on the port of its catalogue entry, on 127.0.0.1"))
}
