//! What comes through an attached WebSocket: several channels in one, each message under the number of its own.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kube::core::Status;
use tokio_tungstenite::tungstenite::Message;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
/// How it ended, as a `Status`.
const OUTCOME: u8 = 3;
/// With the number of a channel: it is closed. From version 5 of the protocol on.
const CLOSE: u8 = 255;

/// How much of the input goes into one message.
pub(super) const CHUNK: usize = 32 << 10;

/// A message of the other side.
#[derive(Debug)]
pub(super) enum Frame {
    /// A piece of the server's output.
    Output(Bytes),
    /// The server's output is at its end.
    OutputEnded,
    /// The container ended, or could not be attached to.
    Outcome(Box<Status>),
    /// The connection is being closed.
    Closed,
    /// Nothing for us, but a sign of life.
    Other,
}

impl Frame {
    pub(super) fn of(message: Message) -> Self {
        let mut data = match message {
            Message::Binary(data) => data,
            // Some proxies make texts of it.
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

/// A buffer for a piece of the input, with the number of the channel in it.
pub(super) fn input() -> BytesMut {
    let mut buffer = BytesMut::with_capacity(CHUNK + 1);
    buffer.put_u8(STDIN);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &'static [u8]) -> String {
        format!("{:?}", Frame::of(Message::Binary(Bytes::from_static(data))))
    }

    #[test]
    fn each_channel_is_told_apart() {
        assert_eq!(of(b"\x01{}\n"), r#"Output(b"{}\n")"#);
        assert_eq!(of(b"\xff\x01"), "OutputEnded");
        for other in [
            &b""[..],
            b"\x02an error line",
            b"\xff\x02",
            b"\xff",
            b"\x03no json",
            b"\x09",
        ] {
            assert_eq!(of(other), "Other");
        }
        assert!(of(br#"_{"status":"Success"}"#).starts_with("Other"));
        assert!(of(b"\x03{\"status\":\"Success\"}").starts_with("Outcome"));
        assert!(matches!(Frame::of(Message::Close(None)), Frame::Closed));
    }
}
