//! How the kubelet finds out whether a server is up.

use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Carrier;

/// How long a server may take to answer for the first time, in seconds.
const START: u32 = 120;

/// Where the bridge says whether the server has introduced itself and can be called.
const HEALTH: &str = "/healthz";

/// Has the container's port probed. Calls are let in as soon as it can take them: it is asked each second while it starts.
///
/// What serves HTTP by itself is up when it listens. The bridge always listens, so it is asked about its server; it is
/// restarted only when it does not listen any more, for it restarts the server itself.
pub(super) fn add(container: &mut Container, carrier: Carrier, port: u16, start_seconds: Option<u32>) {
    let start = i32::try_from(start_seconds.unwrap_or(START).max(1)).unwrap_or(i32::MAX);
    let ready = if carrier == Carrier::Bridge {
        health(port)
    } else {
        listens(port)
    };
    container.startup_probe = Some(every(1, start, ready.clone()));
    container.readiness_probe = Some(every(2, 2, ready));
    container.liveness_probe = Some(every(30, 3, listens(port)));
}

fn listens(port: u16) -> Probe {
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
            path: Some(HEALTH.into()),
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
