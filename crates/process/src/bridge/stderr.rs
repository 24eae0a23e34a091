//! The bridge's own lines on standard error.

use std::io::Write;

/// Writes a line, marked as the bridge's among those of the server. Errors are ignored: nobody may be reading.
pub(super) fn eprint_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "portolan-bridge: {line}");
}
