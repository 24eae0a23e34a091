//! The futures of calls: boxed in a pool, and continued without the client where its era requires that.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Response;
use tokio::runtime::Handle;
use tokio_util::{sync::ReusableBoxFuture, task::TaskTracker};

use super::{Relay, deferred_body::DeferredBody};
use crate::{
    body::Body,
    reply::{self, Rejection},
};

type CallResponse = Result<Response<Body>, Rejection>;

/// The maximum number of pooled boxes. The future of a call takes some KiB; allocating it for each call costs a tenth
/// of a small call.
const BOXES: usize = 256;

/// A pool of boxes for futures.
#[derive(Debug, Default)]
pub(crate) struct FuturePool {
    boxes: Mutex<Vec<ReusableBoxFuture<'static, CallResponse>>>,
}

/// The future of one call's response.
///
/// For legacy clients a lost connection is not a cancellation (2025-11-25, basic/transports), and they may still
/// cancel from another connection. If dropped early, their calls continue in the background, and so do the bodies of
/// their responses.
#[derive(Debug)]
pub(crate) struct CallFuture {
    boxed: Option<ReusableBoxFuture<'static, CallResponse>>,
    future_pool: Arc<FuturePool>,
    outlives: Option<TaskTracker>,
    /// When the call started, and after how long its client gets a stream.
    streams: Option<(Instant, Duration)>,
}

impl CallFuture {
    /// Starts the work that `make` returns. With `outlives`, it continues there when this future is dropped.
    // Inlined, and with a function that makes the work, so that the future of some KiB is made where it is boxed instead of
    // being moved there.
    #[inline(always)]
    pub(crate) fn begin<F>(relay: &Relay, make: impl FnOnce() -> F, outlives: Option<&TaskTracker>) -> Self
    where
        F: Future<Output = CallResponse> + Send + 'static,
    {
        let future_pool = &relay.future_pool;
        let empty = future_pool.lock().pop();
        let boxed = match empty {
            Some(mut boxed) => {
                boxed.set(make());
                boxed
            }
            None => ReusableBoxFuture::new(make()),
        };
        Self {
            boxed: Some(boxed),
            future_pool: future_pool.clone(),
            outlives: outlives.cloned(),
            streams: None,
        }
    }

    /// Answers with a stream if there is no response after this time; the response follows on the stream.
    ///
    /// No timer is needed: the call timeout wakes this future at that time (`portolan_client`, `calls/timeout.rs`).
    pub(crate) fn streaming_after(mut self, after: Duration) -> Self {
        self.streams = Some((Instant::now(), after));
        self
    }

    /// Moves the remaining work into a stream.
    fn defer(&mut self) -> Response<Body> {
        let rest = Self {
            boxed: self.boxed.take(),
            future_pool: self.future_pool.clone(),
            outlives: self.outlives.take(),
            streams: None,
        };
        reply::events(Body::relayed(DeferredBody::new(rest)))
    }
}

impl FuturePool {
    fn lock(&self) -> MutexGuard<'_, Vec<ReusableBoxFuture<'static, CallResponse>>> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for CallFuture {
    type Output = CallResponse;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallResponse> {
        let this = self.get_mut();
        let Some(boxed) = &mut this.boxed else {
            return Poll::Pending;
        };
        let Poll::Ready(response) = boxed.poll(cx) else {
            let is_due = this.streams.is_some_and(|(since, after)| since.elapsed() >= after);
            return if is_due {
                Poll::Ready(Ok(this.defer()))
            } else {
                Poll::Pending
            };
        };
        if let Some(empty) = this.boxed.take() {
            let mut boxes = this.future_pool.lock();
            if boxes.len() < BOXES {
                boxes.push(empty);
            }
        }
        Poll::Ready(match &this.outlives {
            Some(tasks) => response.map(|response| response.map(|body| body.outliving(tasks))),
            None => response,
        })
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        let (Some(work), Some(tasks), Ok(runtime)) = (self.boxed.take(), &self.outlives, Handle::try_current()) else {
            return;
        };
        let completion = async move {
            if let Ok(response) = work.await {
                response.into_body().discard().await;
            }
        };
        tasks.spawn_on(completion, &runtime);
    }
}
