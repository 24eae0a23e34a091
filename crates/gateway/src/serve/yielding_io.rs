//! Client connections that let other ready tasks run before a small write (see `portolan_client::write_yield`).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};

use portolan_client::write_yield;

/// A connection that yields once before each small write.
#[derive(Debug)]
pub(super) struct YieldingIo<T> {
    io: T,
    /// Whether the write has yielded already.
    yielded: bool,
}

impl<T> YieldingIo<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, yielded: false }
    }

    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.yielded = written.is_pending();
        written
    }
}

impl<T: Read + Unpin> Read for YieldingIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for YieldingIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        std::task::ready!(write_yield::poll(&mut this.yielded, cx, bytes.len()));
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        std::task::ready!(write_yield::poll(&mut this.yielded, cx, bytes));
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::task::{ArcWake, waker};
    use hyper_util::rt::TokioIo;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl ArcWake for Woken {
        fn wake_by_ref(this: &std::sync::Arc<Self>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each write yields exactly once, and wakes itself.
    #[tokio::test]
    async fn small_write_yields_once() {
        let woken = std::sync::Arc::<Woken>::default();
        let waker = waker(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (near, _far) = tokio::io::duplex(64);
        let mut near = YieldingIo::new(TokioIo::new(near));
        for writes in 1..=3 {
            assert!(Pin::new(&mut near).poll_write(&mut cx, b"word").is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), writes);
            let written = Pin::new(&mut near).poll_write(&mut cx, b"word");
            assert!(matches!(written, Poll::Ready(Ok(4))));
        }
    }

    #[tokio::test]
    async fn large_write_does_not_yield() {
        let woken = std::sync::Arc::<Woken>::default();
        let waker = waker(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (near, _far) = tokio::io::duplex(2 * write_yield::SMALL);
        let mut near = YieldingIo::new(TokioIo::new(near));
        let long = vec![0; write_yield::SMALL + 1];
        assert!(Pin::new(&mut near).poll_write(&mut cx, &long).is_ready());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }

    /// A write blocked by a full buffer does not yield again.
    #[tokio::test]
    async fn blocked_write_yields_once() {
        let woken = std::sync::Arc::<Woken>::default();
        let waker = waker(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (near, mut far) = tokio::io::duplex(4);
        let mut near = YieldingIo::new(TokioIo::new(near));
        let mut write = |cx: &mut Context<'_>| Pin::new(&mut near).poll_write_vectored(cx, &[IoSlice::new(b"word")]);
        assert!(write(&mut cx).is_pending());
        assert!(write(&mut cx).is_ready());
        assert!(write(&mut cx).is_pending());
        assert!(write(&mut cx).is_pending(), "the buffer is full");
        let mut read = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut far, &mut read)
            .await
            .expect("the written bytes");
        assert!(write(&mut cx).is_ready());
    }
}
