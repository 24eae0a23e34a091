//! An answer that is on its way while its stream has begun.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::BoxError;
use portolan_wire::{envelope, sse};

use super::call_future::CallFuture;
use crate::{body::Body, reply};

/// A stream of events that begins before its call is answered: whatever the answer is, it comes as events.
#[derive(Debug)]
pub(crate) struct DeferredBody(Stage);

#[derive(Debug)]
enum Stage {
    /// Nothing is known yet.
    Working(CallFuture),
    /// The answer is a stream, and passes.
    Events(Body),
    /// The answer is a JSON text, of which this is to come.
    Json(Body),
    Over,
}

impl DeferredBody {
    pub(crate) fn new(work: CallFuture) -> Self {
        Self(Stage::Working(work))
    }
}

impl HttpBody for DeferredBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let stage = &mut self.get_mut().0;
        let frame = loop {
            match stage {
                Stage::Working(work) => match std::task::ready!(Pin::new(work).poll(cx)) {
                    Ok(response) if reply::is_stream(&response) => *stage = Stage::Events(response.into_body()),
                    Ok(response) => {
                        *stage = Stage::Json(response.into_body());
                        break Bytes::from_static(sse::EVENT_START);
                    }
                    Err(refused) => {
                        *stage = Stage::Over;
                        break sse::event(&refused.message());
                    }
                },
                Stage::Events(body) => return Pin::new(body).poll_frame(cx),
                Stage::Json(body) => match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => break envelope::one_line(&data),
                        Err(_) => continue,
                    },
                    Some(Err(fault)) => {
                        *stage = Stage::Over;
                        return Poll::Ready(Some(Err(fault)));
                    }
                    None => {
                        *stage = Stage::Over;
                        break Bytes::from_static(sse::EVENT_END);
                    }
                },
                Stage::Over => return Poll::Ready(None),
            }
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}
