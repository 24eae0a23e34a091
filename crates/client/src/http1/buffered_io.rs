//! The buffers of one connection: bytes to write, and bytes that have arrived.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut, buf::Chain};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::http1::pool::ConnectionPool;

/// The smallest and the largest read.
const LEAST: usize = 8 * 1024;
const MOST: usize = 256 * 1024;
/// Up to this many bytes are copied out of the read buffer, which then can be reused.
const SMALL: usize = 4 * 1024;

/// The stream of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream with its buffers.
pub(crate) struct BufferedIo {
    stream: Box<dyn Stream>,
    /// The rest of a request that has not been written.
    unsent: Option<Chain<BytesMut, Bytes>>,
    /// `true` once any byte of the last request was written.
    pub(crate) has_sent: bool,
    /// The error of the last write. The server's response may have arrived nevertheless.
    broken: Option<io::Error>,
    /// Bytes that have arrived and were not parsed.
    pub(crate) arrived: BytesMut,
    /// The size of the next read, adapted to the last responses.
    size: usize,
    /// `true` if the last read was much smaller.
    was_small: bool,
}

impl BufferedIo {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            unsent: None,
            has_sent: false,
            broken: None,
            arrived: BytesMut::new(),
            size: LEAST,
            was_small: false,
        }
    }

    /// Takes a request to write.
    pub(crate) fn begin(&mut self, head: BytesMut, body: Bytes) {
        self.unsent = Some(head.chain(body));
        self.has_sent = false;
    }

    /// Returns `true` if the request was written whole, and no byte is left to parse.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unsent.is_none() && self.broken.is_none() && self.arrived.is_empty()
    }

    /// Writes the rest of the request, as far as possible.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(fault)) = self.poll_unsent(cx) {
            self.unsent = None;
            self.broken = Some(fault);
        }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(unsent) = &mut self.unsent else {
            return Poll::Ready(Ok(()));
        };
        while unsent.has_remaining() {
            if ready!(poll_write_buf(Pin::new(&mut self.stream), cx, unsent))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.has_sent = true;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.unsent = None;
        Poll::Ready(Ok(()))
    }

    /// Reads more. Returns 0 once the server has closed the connection.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, pool: &ConnectionPool) -> Poll<io::Result<usize>> {
        if self.arrived.is_empty() {
            // An empty buffer keeps no allocation.
            self.arrived = BytesMut::new();
        }
        let mut buffer = pool.take_buffer();
        buffer.reserve(self.size);
        let read = poll_read_buf(Pin::new(&mut self.stream), cx, &mut buffer);
        if let Poll::Ready(Ok(count)) = read {
            self.take(&mut buffer);
            self.learn(count);
        }
        pool.put_buffer(buffer);
        match (read, &mut self.broken) {
            // The first of the two errors is the cause.
            (Poll::Ready(Ok(0) | Err(_)), broken @ Some(_)) => Poll::Ready(broken.take().map_or(Ok(0), Err)),
            (read, _) => read,
        }
    }

    fn take(&mut self, buffer: &mut BytesMut) {
        if buffer.len() > SMALL && self.arrived.is_empty() {
            self.arrived = buffer.split();
            return;
        }
        self.arrived.extend_from_slice(buffer);
        buffer.clear();
    }

    /// Doubles the size after a full read; halves it after two small ones in a row.
    fn learn(&mut self, count: usize) {
        if count >= self.size {
            self.size = (2 * self.size).min(MOST);
            self.was_small = false;
        } else if count < self.size / 4 && self.was_small {
            self.size = (self.size / 2).max(LEAST);
            self.was_small = false;
        } else {
            self.was_small = count < self.size / 4;
        }
    }
}
