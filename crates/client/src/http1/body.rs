//! The body of an answer, as it comes.

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
    pool::ConnectionPool,
};

/// The body of an answer, with the connection that it comes through. At its end the connection goes back to the pool;
/// dropped before, it is closed, which tells the server that nobody listens.
pub struct ResponseBody {
    framing: Framing,
    /// None when the body is over, or broken off.
    connection: Option<Connection>,
    /// Whether the connection can be used again.
    stays: bool,
    pool: Arc<ConnectionPool>,
}

impl ResponseBody {
    pub(crate) fn new(connection: Connection, framing: Framing, stays: bool, pool: &Arc<ConnectionPool>) -> Self {
        let mut body = Self {
            framing,
            connection: Some(connection),
            stays,
            pool: pool.clone(),
        };
        body.release_at_end();
        body
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

    /// Gives the connection back when the body is over. One that still has something to write, because its server answered
    /// before it had read everything, is closed, and so is one over which more came than was asked for.
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
        let piece = ready!(this.poll_piece(cx));
        if piece.is_err() {
            this.connection = None;
            this.framing = Framing::Over;
        }
        this.release_at_end();
        Poll::Ready(piece.map(|data| data.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.framing == Framing::Over
    }

    fn size_hint(&self) -> SizeHint {
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
