//! Detects the protocol era of the other side: legacy, with a handshake, or modern, without.

mod client;
mod probe;
mod version;

#[cfg(test)]
mod tests;

pub use self::client::{ClientEra, EraError, ModernCall, RequestMeta, detect_client};
pub use self::probe::{Probe, judge_probe, judge_stdio_probe};
pub use self::version::{NamedVersion, ProtocolVersion};

/// The two protocol eras of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Era {
    /// 2025-11-25 and older: a handshake, then a session.
    Legacy,
    /// 2026-07-28 and newer: every request is independent.
    Modern,
}
