//! Work on calls: in boxes that are used again, and going on without the client where its era wants that.

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

/// Empty boxes that are kept. The work on a call takes some KiB, and to get and give back as much for each is a tenth of
/// what a small call costs.
const BOXES: usize = 256;

/// Where boxes are kept.
#[derive(Debug, Default)]
pub(crate) struct FuturePool {
    boxes: Mutex<Vec<ReusableBoxFuture<'static, CallResponse>>>,
}

/// Work on the answer to one call.
///
/// For legacy clients a lost connection is no cancellation (2025-11-25, basic/transports), and they may still cancel by
/// notification from another connection: their work, dropped before its end, goes on by itself, and so does the body of
/// its answer.
#[derive(Debug)]
pub(crate) struct CallFuture {
    boxed: Option<ReusableBoxFuture<'static, CallResponse>>,
    future_pool: Arc<FuturePool>,
    outlives: Option<TaskTracker>,
    /// Since when it is under way, and after how long its client gets a stream to wait on.
    streams: Option<(Instant, Duration)>,
}

impl CallFuture {
    /// Begins `work`. With `outlives`, it goes on there when this is dropped.
    // Inlined, so that what is some KiB is not moved once more.
    #[inline(always)]
    pub(crate) fn begin(
        relay: &Relay,
        work: impl Future<Output = CallResponse> + Send + 'static,
        outlives: Option<&TaskTracker>,
    ) -> Self {
        let future_pool = &relay.future_pool;
        let empty = future_pool.lock().pop();
        let boxed = match empty {
            Some(mut boxed) => {
                boxed.set(work);
                boxed
            }
            None => ReusableBoxFuture::new(work),
        };
        Self {
            boxed: Some(boxed),
            future_pool: future_pool.clone(),
            outlives: outlives.cloned(),
            streams: None,
        }
    }

    /// The same; if it is not done after so long, it is answered by a stream on which the answer comes when it is there.
    ///
    /// There is no timer for this: who waits for a server looks up at that time (`portolan_client`, `calls/timeout.rs`).
    pub(crate) fn streaming_after(mut self, after: Duration) -> Self {
        self.streams = Some((Instant::now(), after));
        self
    }

    /// The rest of this work, as a stream.
    fn late(&mut self) -> Response<Body> {
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
        let Poll::Ready(answer) = boxed.poll(cx) else {
            let is_late = this.streams.is_some_and(|(since, after)| since.elapsed() >= after);
            return if is_late {
                Poll::Ready(Ok(this.late()))
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
            Some(tasks) => answer.map(|response| response.map(|body| body.outliving(tasks))),
            None => answer,
        })
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        let (Some(work), Some(tasks), Ok(runtime)) = (self.boxed.take(), &self.outlives, Handle::try_current()) else {
            return;
        };
        let to_its_end = async move {
            if let Ok(response) = work.await {
                response.into_body().discard().await;
            }
        };
        tasks.spawn_on(to_its_end, &runtime);
    }
}
