//! What does not work as it does directly, and why. An exception that is none any more fails its test.

use super::script::Feature;
use crate::client::{Client, Era};
use crate::host::Host;

/// Why this need not be as it is directly.
pub(super) fn of(feature: Feature, host: Host, _: Client, era: Era) -> Option<&'static str> {
    match (feature, host, era) {
        (Feature::Changes | Feature::Updates, Host::NpmHttp, _) => Some(
            "this server tells a change only in the session in which it was made, and the gateway hears changes, for all \
             clients, in a session of its own",
        ),
        (Feature::Logging, Host::NpmHttp, Era::Modern) => Some(
            "this server logs beside its calls, and a modern client is told only what belongs to a call of its own",
        ),
        (Feature::Roots, Host::NpmHttp, Era::Modern) => {
            Some("this server asks for roots beside its calls, where a modern client is not asked")
        }
        _ => None,
    }
}
