//! The events of a gateway, for `tracing` subscribers. The crate docs list them: they are part of the interface.

use portolan_client::ReachabilityChange;
use portolan_core::{Caller, GatewayName, Install};
use portolan_wire::era::ProtocolVersion;

/// The target of all of them.
const TARGET: &str = "portolan_gateway";

/// The end of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionEnd {
    /// The client ended it here.
    Deleted,
    /// Another replica ended it.
    Elsewhere,
    /// It is remembered no longer: unused for too long, over, or one too many.
    Forgotten,
}

/// A server can no longer be reached, or can be reached again.
pub(crate) fn reachability(change: &ReachabilityChange<'_>) {
    let server = change.server.as_str();
    match change.failure {
        Some(failure) => {
            let reason = failure.message.as_str();
            tracing::warn!(target: TARGET, server, kind = ?failure.kind, reason, "server unreachable");
        }
        None => tracing::info!(target: TARGET, server, "server reachable"),
    }
}

/// A server refused the credential of a call, and there is no better one.
pub(crate) fn credential_refused(gateway: &GatewayName, install: &Install, caller: &Caller, request_id: &str) {
    tracing::warn!(
        target: TARGET,
        gateway = gateway.as_str(),
        server = install.server.as_str(),
        install = %install.name,
        caller = %caller.subject,
        request_id,
        "credential refused"
    );
}

/// A legacy client opened a session.
pub(crate) fn session_opened(gateway: &GatewayName, session: &str, version: ProtocolVersion, client: Option<&str>) {
    tracing::debug!(
        target: TARGET,
        gateway = gateway.as_str(),
        session,
        version = version.as_str(),
        client,
        "session opened"
    );
}

/// A session ended, or is remembered no longer.
pub(crate) fn session_ended(session: &str, end: SessionEnd) {
    let reason = match end {
        SessionEnd::Deleted => "deleted",
        SessionEnd::Elsewhere => "ended elsewhere",
        SessionEnd::Forgotten => "forgotten",
    };
    tracing::debug!(target: TARGET, session, reason, "session ended");
}
