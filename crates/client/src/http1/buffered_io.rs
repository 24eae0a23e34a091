//! The bytes of one connection: what is still to be written, and what has arrived.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut, buf::Chain};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::http1::pool::ConnectionPool;

/// The least and the most that is read at once.
const LEAST: usize = 8 * 1024;
const MOST: usize = 256 * 1024;
/// So much is copied out of the buffer that it was read into, which then is free for what comes next.
const SMALL: usize = 4 * 1024;

/// What a connection goes over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The bytes of one connection.
pub(crate) struct BufferedIo {
    stream: Box<dyn Stream>,
    /// What has not been written yet of a request.
    unsent: Option<Chain<BytesMut, Bytes>>,
    /// Whether anything of the last request was written.
    pub(crate) has_sent: bool,
    /// Why nothing can be written any more. What the server said before may be there all the same.
    broken: Option<io::Error>,
    /// What has arrived and was not looked at yet.
    pub(crate) arrived: BytesMut,
    /// How much is read at once, as far as the last answers tell.
    size: usize,
    /// Whether the last read was much smaller than that.
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

    /// Whether a request was written whole, and nothing has arrived that was not looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unsent.is_none() && self.broken.is_none() && self.arrived.is_empty()
    }

    /// Writes what is left of the request, as far as it goes.
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

    /// Reads more. None is left when the server has hung up.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, pool: &ConnectionPool) -> Poll<io::Result<usize>> {
        if self.arrived.is_empty() {
            // Nor what is empty holds on to a buffer.
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
            // The first of the two says why.
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

    /// More at once where there was more; less where there was much less twice in a row.
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
