//! Writes lines to a server.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::dispatcher::{RpcDispatcher, WriteBatch};

/// How many pieces go into one write.
const MAX_SLICES: usize = 64;

/// Writes lines as they come, as many as possible at once, until the server closes its input.
pub(crate) async fn write(mut input: impl AsyncWrite + Unpin, dispatcher: &RpcDispatcher) -> io::Result<()> {
    let mut batch = WriteBatch::default();
    loop {
        dispatcher.batch(&mut batch).await;
        write_all(&mut input, &mut batch.pieces).await?;
        input.flush().await?;
    }
}

async fn write_all(input: &mut (impl AsyncWrite + Unpin), pieces: &mut [Bytes]) -> io::Result<()> {
    let mut from = 0;
    while from < pieces.len() {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = slices.len().min(pieces.len() - from);
        for (slice, piece) in slices.iter_mut().zip(&pieces[from..]) {
            *slice = IoSlice::new(piece);
        }
        let mut written = input.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let step = written.min(pieces[from].len());
            pieces[from].advance(step);
            written -= step;
            from += usize::from(pieces[from].is_empty());
        }
    }
    Ok(())
}
