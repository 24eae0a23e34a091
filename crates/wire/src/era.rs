//! Detects the protocol era of the other side: legacy, with a handshake, or modern, without.

mod client;
mod probe;

#[cfg(test)]
mod tests;

pub use self::client::{ClientEra, EraError, ModernCall, RequestMeta, detect_client};
pub use self::probe::{Probe, judge_probe, judge_stdio_probe};
pub use crate::version::{Era, NamedVersion, ProtocolVersion};
