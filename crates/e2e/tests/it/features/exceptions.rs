//! Features that do not work as they do directly, with the reason. An exception that works fails its test.

use super::script::Feature;
use crate::host::Host;

/// Why this need not be as it is directly.
pub(super) fn of(feature: Feature, host: Host) -> Option<&'static str> {
    match (feature, host) {
        (Feature::Changes | Feature::Updates, Host::NpmHttp) => Some(
            "this server tells a change only in the session in which it was made, and the gateway hears changes, for all \
             clients, in a session of its own",
        ),
        _ => None,
    }
}
