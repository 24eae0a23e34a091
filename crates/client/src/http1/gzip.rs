//! Decodes bodies that a server compresses although it was asked not to.

use std::{fmt, io::Write};

use bytes::{Buf, Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, header};

use crate::http1::ConnectionError;

/// The number of compressed bytes that are decoded at once: at most a thousand times as many come out of them.
const STEP: usize = 1024;

/// Decodes one body, piece by piece.
pub(crate) struct GzipDecoder {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What has arrived and is not decoded yet.
    waiting: Bytes,
}

impl GzipDecoder {
    /// Returns the decoder for a body with these headers, from which it removes what is true of the compressed body only;
    /// `None` if the body is not compressed.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Encoding`] for another compression.
    pub(crate) fn take(headers: &mut HeaderMap) -> Result<Option<Box<Self>>, ConnectionError> {
        let Some(encoding) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(None);
        };
        let is_gzip = |name: &str| name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip");
        match encoding.to_str().map(str::trim) {
            Ok(name) if name.is_empty() || name.eq_ignore_ascii_case("identity") => return Ok(None),
            Ok(name) if is_gzip(name) => {}
            _ => return Err(ConnectionError::Encoding),
        }
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        Ok(Some(Box::new(Self {
            decoder: MultiGzDecoder::new(Vec::new()),
            waiting: Bytes::new(),
        })))
    }

    /// Takes the next piece of the compressed body.
    pub(crate) fn push(&mut self, data: Bytes) {
        if self.waiting.is_empty() {
            self.waiting = data;
            return;
        }
        let mut joined = BytesMut::with_capacity(self.waiting.len() + data.len());
        joined.extend_from_slice(&self.waiting);
        joined.extend_from_slice(&data);
        self.waiting = joined.freeze();
    }

    /// Returns the next piece of the body; `None` until more is pushed.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        while !self.waiting.is_empty() {
            let some = self.waiting.len().min(STEP);
            let taken = self.decoder.write(&self.waiting[..some]);
            let taken = taken.map_err(|_| ConnectionError::Encoding)?;
            if taken == 0 {
                return Err(ConnectionError::Encoding);
            }
            self.waiting.advance(taken);
            // An event has to come out when it has come in.
            self.decoder.flush().map_err(|_| ConnectionError::Encoding)?;
            if let Some(decoded) = self.decoded() {
                return Ok(Some(decoded));
            }
        }
        Ok(None)
    }

    /// Returns the last piece at the end of the compressed body.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        self.decoder.try_finish().map_err(|_| ConnectionError::Encoding)?;
        Ok(self.decoded())
    }

    fn decoded(&mut self) -> Option<Bytes> {
        let decoded = std::mem::take(self.decoder.get_mut());
        (!decoded.is_empty()).then(|| decoded.into())
    }
}

impl fmt::Debug for GzipDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipDecoder")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
