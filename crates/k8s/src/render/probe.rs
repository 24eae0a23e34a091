//! Container probes.

use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Carrier;

/// The default startup deadline, in seconds.
const START_SECONDS: u32 = 120;

/// The path at which the bridge reports whether its server can be called.
const HEALTH_PATH: &str = "/healthz";

/// Adds the probes of the container's port. While it starts, it is probed every second, so that calls begin as soon as possible.
///
/// An HTTP server is ready when it listens. The bridge always listens, so it is asked about its server; it is restarted only
/// if it stops listening, because it restarts the server itself.
pub(super) fn add(container: &mut Container, carrier: Carrier, port: u16, start_seconds: Option<u32>) {
    let start = i32::try_from(start_seconds.unwrap_or(START_SECONDS).max(1)).unwrap_or(i32::MAX);
    let ready = if carrier == Carrier::Bridge {
        health(port)
    } else {
        tcp(port)
    };
    container.startup_probe = Some(every(1, start, ready.clone()));
    container.readiness_probe = Some(every(2, 2, ready));
    container.liveness_probe = Some(every(30, 3, tcp(port)));
}

fn tcp(port: u16) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            host: None,
            port: IntOrString::Int(port.into()),
        }),
        ..Probe::default()
    }
}

fn health(port: u16) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(HEALTH_PATH.into()),
            port: IntOrString::Int(port.into()),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

fn every(period_seconds: i32, failures: i32, probe: Probe) -> Probe {
    Probe {
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(1),
        failure_threshold: Some(failures),
        success_threshold: Some(1),
        ..probe
    }
}
