//! The body of a response, as it arrives.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http1::{
    Connection, ConnectionError,
    framing::{BodyPart, Framing},
    gzip::GzipDecoder,
    pool::ConnectionPool,
};

/// The body of a response, with its connection. At the end of the body the connection goes back to the pool; dropped
/// before, it is closed, which tells the server that nobody listens.
pub struct ResponseBody {
    framing: Framing,
    /// `None` once the body has ended or broken off.
    connection: Option<Connection>,
    /// `true` if the connection can be used again.
    stays: bool,
    pool: Arc<ConnectionPool>,
    /// Decodes a compressed body.
    gzip: Option<Box<GzipDecoder>>,
}

impl ResponseBody {
    pub(crate) fn new(connection: Connection, framing: Framing, stays: bool, pool: &Arc<ConnectionPool>) -> Self {
        let mut body = Self {
            framing,
            connection: Some(connection),
            stays,
            pool: pool.clone(),
            gzip: None,
        };
        body.release_at_end();
        body
    }

    /// Decodes what arrives.
    pub(crate) fn decoded(mut self, gzip: Option<Box<GzipDecoder>>) -> Self {
        // A body without bytes is what it is.
        self.gzip = gzip.filter(|_| self.framing != Framing::Over);
        self
    }

    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ConnectionError>> {
        loop {
            let Some(gzip) = &mut self.gzip else {
                return self.poll_piece(cx);
            };
            if let Some(decoded) = gzip.next()? {
                return Poll::Ready(Ok(Some(decoded)));
            }
            match ready!(self.poll_piece(cx))? {
                Some(data) => self.gzip.as_mut().map(|gzip| gzip.push(data)),
                None => {
                    let last = self.gzip.take().map(|mut gzip| gzip.finish());
                    return Poll::Ready(last.transpose().map(Option::flatten));
                }
            };
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ConnectionError>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Ok(None));
        };
        loop {
            match self.framing.next(&mut connection.io.arrived)? {
                BodyPart::Data(data) => return Poll::Ready(Ok(Some(data))),
                BodyPart::Over => return Poll::Ready(Ok(None)),
                BodyPart::Missing => {}
            }
            connection.io.poll_write(cx);
            if ready!(connection.io.poll_read(cx, &self.pool))? == 0 {
                self.framing.hung_up()?;
            }
        }
    }

    /// Returns the connection to the pool at the end of the body. It is closed instead if it still has something to write,
    /// because the server responded before it had read everything, or if the server has sent more than the response.
    fn release_at_end(&mut self) {
        if self.framing != Framing::Over {
            return;
        }
        if let Some(connection) = self.connection.take()
            && self.stays
            && connection.io.is_quiet()
        {
            self.pool.put(connection);
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let this = self.get_mut();
        let piece = ready!(this.poll_decoded(cx));
        if piece.is_err() {
            this.connection = None;
            this.framing = Framing::Over;
            this.gzip = None;
        }
        this.release_at_end();
        Poll::Ready(piece.map(|data| data.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.framing == Framing::Over && self.gzip.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.gzip.is_some() {
            return SizeHint::default();
        }
        match self.framing {
            Framing::Over => SizeHint::with_exact(0),
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::Hangup => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}
