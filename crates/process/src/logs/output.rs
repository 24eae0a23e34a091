//! Reads output that goes into the log as a whole.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Logs;

/// Reads log lines until the stream ends. The rest of a line longer than `longest` bytes is dropped.
pub(crate) async fn read_output(mut output: impl AsyncRead + Unpin, logs: &Logs, longest: usize) {
    let mut chunk = vec![0; 16 << 10];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = output.read(&mut chunk).await {
        let mut whole = Vec::new();
        let mut rest = &chunk[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            append(&mut line, &rest[..end], longest);
            whole.push(std::mem::take(&mut line));
            rest = &rest[end + 1..];
        }
        append(&mut line, rest, longest);
        if !whole.is_empty() {
            logs.push(whole.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)));
        }
    }
    if !line.is_empty() {
        logs.push([&line[..]]);
    }
}

/// Keeps twice as much as is shown, so that a secret at the cut is redacted as a whole.
fn append(line: &mut Vec<u8>, piece: &[u8], longest: usize) {
    let room = (2 * longest).saturating_sub(line.len());
    line.extend_from_slice(&piece[..piece.len().min(room)]);
}
