//! Reads the messages that a server writes.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    inbound::Inbound,
    line::{LineSplitter, OutputLine},
};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

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
            inbound.line(without_mark(line));
        }
    }
    if let Some(line) = lines.rest() {
        inbound.line(without_mark(line));
    }
}

/// Removes a byte order mark, which some runtimes write before their first line. RFC 8259 lets a reader ignore it.
fn without_mark(line: OutputLine) -> OutputLine {
    match line {
        OutputLine::Whole(text) if text.starts_with(BYTE_ORDER_MARK) => {
            OutputLine::Whole(text.slice(BYTE_ORDER_MARK.len()..))
        }
        line => line,
    }
}
