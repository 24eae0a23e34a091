//! Frames of an attached WebSocket: several channels in one connection, each message prefixed with the number of its channel.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kube::core::Status;
use tokio_tungstenite::tungstenite::Message;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
/// The channel of the outcome, a `Status`.
const OUTCOME: u8 = 3;
/// Closes the channel whose number follows; since version 5 of the protocol.
const CLOSE: u8 = 255;

/// The largest piece of input in one message, in bytes.
pub(super) const CHUNK: usize = 32 << 10;

/// A received message.
#[derive(Debug)]
pub(super) enum Frame {
    /// Output of the server.
    Output(Bytes),
    /// The end of the server's output.
    OutputEnded,
    /// The outcome: the container ended, or attaching failed.
    Outcome(Box<Status>),
    /// The connection is being closed.
    Closed,
    /// Any other message, such as a pong.
    Other,
}

impl Frame {
    pub(super) fn parse(message: Message) -> Self {
        let mut data = match message {
            Message::Binary(data) => data,
            // Some proxies convert it into text.
            Message::Text(text) => text.into(),
            Message::Close(_) => return Self::Closed,
            _ => return Self::Other,
        };
        if data.is_empty() {
            return Self::Other;
        }
        match (data.get_u8(), &data[..]) {
            (STDOUT, _) => Self::Output(data),
            (CLOSE, [STDOUT]) => Self::OutputEnded,
            (OUTCOME, _) => serde_json::from_slice(&data).map_or(Self::Other, |status| Self::Outcome(Box::new(status))),
            _ => Self::Other,
        }
    }
}

/// Returns a buffer for input, with the channel number in it.
pub(super) fn input_buffer() -> BytesMut {
    let mut buffer = BytesMut::with_capacity(CHUNK + 1);
    buffer.put_u8(STDIN);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(data: &'static [u8]) -> String {
        format!("{:?}", Frame::parse(Message::Binary(Bytes::from_static(data))))
    }

    #[test]
    fn parses_each_channel() {
        assert_eq!(parse(b"\x01{}\n"), r#"Output(b"{}\n")"#);
        assert_eq!(parse(b"\xff\x01"), "OutputEnded");
        for other in [
            &b""[..],
            b"\x02an error line",
            b"\xff\x02",
            b"\xff",
            b"\x03no json",
            b"\x09",
        ] {
            assert_eq!(parse(other), "Other");
        }
        assert!(parse(br#"_{"status":"Success"}"#).starts_with("Other"));
        assert!(parse(b"\x03{\"status\":\"Success\"}").starts_with("Outcome"));
        assert!(matches!(Frame::parse(Message::Close(None)), Frame::Closed));
    }
}
