//! Work on calls: in boxes that are used again, and going on without the client where its era wants that.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::Response;
use tokio::runtime::Handle;
use tokio_util::{sync::ReusableBoxFuture, task::TaskTracker};

use crate::{body::Body, reply::Rejection};

type Answer = Result<Response<Body>, Rejection>;

/// Empty boxes that are kept. The work on a call takes some KiB, and to get and give back as much for each is a tenth of
/// what a small call costs.
const BOXES: usize = 256;

/// Where boxes are kept.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    boxes: Mutex<Vec<ReusableBoxFuture<'static, Answer>>>,
}

/// Work on the answer to one call.
///
/// For legacy clients a lost connection is no cancellation (2025-11-25, basic/transports), and they may still cancel by
/// notification from another connection: their work, dropped before its end, goes on by itself, and so does the body of
/// its answer.
#[derive(Debug)]
pub(crate) struct Work {
    boxed: Option<ReusableBoxFuture<'static, Answer>>,
    bench: Arc<Bench>,
    outlives: Option<TaskTracker>,
}

impl Work {
    /// Begins `work`. With `outlives`, it goes on there when this is dropped.
    pub(crate) fn begin(
        work: impl Future<Output = Answer> + Send + 'static,
        bench: &Arc<Bench>,
        outlives: Option<&TaskTracker>,
    ) -> Self {
        let empty = bench.lock().pop();
        let boxed = match empty {
            Some(mut boxed) => {
                boxed.set(work);
                boxed
            }
            None => ReusableBoxFuture::new(work),
        };
        Self {
            boxed: Some(boxed),
            bench: bench.clone(),
            outlives: outlives.cloned(),
        }
    }
}

impl Bench {
    fn lock(&self) -> MutexGuard<'_, Vec<ReusableBoxFuture<'static, Answer>>> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Work {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        let Some(boxed) = &mut this.boxed else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(boxed.poll(cx));
        if let Some(empty) = this.boxed.take() {
            let mut boxes = this.bench.lock();
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

impl Drop for Work {
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
