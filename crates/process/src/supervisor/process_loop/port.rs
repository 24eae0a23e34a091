//! The port of a server that is reached by HTTP.

mod owner;

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use portolan_core::{Failure, FailureKind};
use tokio::{net::TcpStream, time::Instant};

use self::owner::Owner;

/// How often a connection to the port is tried.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Fails if another program has the port: it would be taken for the server.
pub(super) fn check_free(port: u16) -> Result<(), Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => Err(occupied(port, &error, owner::of(port))),
    }
}

fn occupied(port: u16, error: &io::Error, owner: Option<Owner>) -> Failure {
    let failure = |who: &str| Failure::new(FailureKind::Start, format!("port {port} cannot be used: {error}{who}"));
    let Some(owner) = owner else {
        return failure("").remedy("give each server a port of its own");
    };
    let who = format!("; process {} ({}) listens on it", owner.pid, owner.name);
    match owner.host {
        None => failure(&format!("{who}, which no Portolan host started"))
            .remedy(format!("end process {}, or give the server another port", owner.pid)),
        Some(host) if host.runs => failure(&format!("{who}, a server of the host process {}, which runs", host.pid))
            .remedy("give each server a port of its own, also across hosts"),
        Some(host) => failure(&format!(
            "{who}, a server left behind by the host process {}, which has ended",
            host.pid
        ))
        .remedy(format!("end process {}: kill {}", owner.pid, owner.pid)),
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
