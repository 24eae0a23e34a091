//! What the bridge says itself, on its error output.

use std::io::Write;

/// Writes a line, marked as ours among those of the server. Nobody may be reading.
pub(super) fn eprint_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "portolan-bridge: {line}");
}
