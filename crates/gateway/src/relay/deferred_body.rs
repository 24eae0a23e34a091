//! A stream that starts before the response of its call is known.

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

/// A stream of events that starts before its call has a response: the response is then sent as events.
#[derive(Debug)]
pub(crate) struct DeferredBody(Stage);

#[derive(Debug)]
enum Stage {
    /// There is no response yet.
    Working(CallFuture),
    /// The response is a stream, which is relayed.
    Events(Body),
    /// The response is JSON; this is the rest of it.
    Json(Body),
    Ended,
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
                        *stage = Stage::Ended;
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
                        *stage = Stage::Ended;
                        return Poll::Ready(Some(Err(fault)));
                    }
                    None => {
                        *stage = Stage::Ended;
                        break Bytes::from_static(sse::EVENT_END);
                    }
                },
                Stage::Ended => return Poll::Ready(None),
            }
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}
