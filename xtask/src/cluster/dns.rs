//! A query to the cluster's DNS server.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::site::ADDRESS;

const NAME: &str = "kubernetes.default.svc.cluster.local";

/// Checks that the server resolves the API server's Service.
pub(super) fn check() -> Result<()> {
    let socket = UdpSocket::bind((ADDRESS, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(300)))?;
    socket.send_to(&question(), (ADDRESS, 53))?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // RFC 1035, 4.1.1: the low four bits of byte 3 are the error, bytes 6 and 7 the number of answers.
    ensure!(
        length > 12 && answer[3] & 0x0f == 0 && answer[7] > 0,
        "DNS does not know {NAME} yet"
    );
    Ok(())
}

/// Builds a query for one address (RFC 1035).
fn question() -> Vec<u8> {
    let mut packet = vec![0x50, 0x4f, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in NAME.split('.') {
        packet.push(u8::try_from(label.len()).expect("a label is short"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}
