//! Reads the messages that a server writes.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{inbound::Inbound, line::LineSplitter};

/// Reads messages until the stream ends.
pub(crate) async fn read_messages(mut output: impl AsyncRead + Unpin, inbound: Inbound) {
    let mut lines = LineSplitter::new(inbound.limit);
    loop {
        match output.read_buf(lines.space()).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "server output cannot be read");
                break;
            }
        }
        while let Some(line) = lines.next_line() {
            inbound.line(line);
        }
    }
    if let Some(line) = lines.rest() {
        inbound.line(line);
    }
}
