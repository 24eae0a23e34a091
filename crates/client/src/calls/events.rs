//! The steps of a response, from a server of either transport.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::{BoxError, Result, RpcResponse};
use portolan_wire::{era::Era, id::RequestId};

use crate::{
    calls::{
        beginning::Beginning,
        stdio::relay::ChannelRelay,
        steps::{Step, StreamCheckpoint},
        streamable_http::events::EventRelay,
    },
    server_requests::{ServerRequestKey, response},
    session_ref::UpstreamSessionRef,
};

/// The steps of one response. As a body, it is the event stream for a client in a call without server requests.
#[derive(Debug)]
pub struct Events(Relay);

#[derive(Debug)]
enum Relay {
    /// The steps of a call over HTTP.
    Http(Box<EventRelay>),
    /// The steps of a call over a channel.
    Channel(Box<ChannelRelay>),
}

impl Events {
    /// Wraps the steps of a call over HTTP.
    pub(crate) fn http(relay: Box<EventRelay>) -> Self {
        Self(Relay::Http(relay))
    }

    /// Wraps the steps of a call over a channel.
    pub(crate) fn channel(relay: Box<ChannelRelay>) -> Self {
        Self(Relay::Channel(relay))
    }

    /// Polls for the next step; `None` at the end.
    ///
    /// # Errors
    ///
    /// An error if the connection to the server broke off in the middle of a message.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        match &mut self.0 {
            Relay::Http(relay) => relay.poll_step(cx),
            Relay::Channel(relay) => relay.poll_step(cx),
        }
    }

    /// Returns the next step; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`poll_step`](Self::poll_step).
    pub async fn step(&mut self) -> Option<Result<Step, BoxError>> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Returns `true` if the server may send a request, or want input, before the call ends.
    pub fn may_ask(&self) -> bool {
        let conversion = match &self.0 {
            Relay::Http(relay) => relay.conversion(),
            Relay::Channel(relay) => &relay.conversion,
        };
        conversion.client.is_some() && (conversion.upstream == Era::Modern || !conversion.capabilities.is_none())
    }

    /// Returns the session of a call over HTTP at a legacy server.
    pub fn session_ref(&self) -> Option<UpstreamSessionRef> {
        match &self.0 {
            Relay::Http(relay) => relay.session_ref(),
            Relay::Channel(_) => None,
        }
    }

    /// Leaves a call whose stream any replica can resume; `None` if it has no such stream.
    pub fn leave(&mut self) -> Option<StreamCheckpoint> {
        match &mut self.0 {
            Relay::Http(relay) => {
                let (session_ref, call, event) = relay.leave()?;
                Some(StreamCheckpoint {
                    session_ref,
                    call,
                    event,
                })
            }
            Relay::Channel(_) => None,
        }
    }

    /// Yields every event as a whole from now on.
    pub fn hold(&mut self) {
        if let Relay::Http(relay) = &mut self.0 {
            relay.hold(true);
        }
    }

    /// Redirects the response to another request of the same client, with another progress token. Events that were yielded
    /// before have to be [rewritten](crate::retell).
    pub fn rebind(&mut self, id: &RequestId, token: Option<&Bytes>) {
        let conversion = match &mut self.0 {
            Relay::Http(relay) => {
                relay.hold(false);
                relay.conversion_mut()
            }
            Relay::Channel(relay) => &mut relay.conversion,
        };
        conversion.id = id.clone();
        conversion.retold = Some(token.cloned());
    }

    /// Waits a while for the answer, which may be the next thing that comes.
    pub(crate) async fn begin(self) -> Beginning<Self> {
        match self.0 {
            Relay::Http(relay) => relay.settle().await.map(Self::http),
            relay => Beginning::Relay(Self(relay)),
        }
    }

    /// Sends the client's response to a server request of this call.
    pub fn answer(&mut self, key: &ServerRequestKey, answer: RpcResponse) {
        match (&mut self.0, key) {
            (Relay::Http(relay), ServerRequestKey::Id(id)) => relay.answer(id, response(id, &answer)),
            (Relay::Channel(relay), ServerRequestKey::Channel(key)) => relay.answer(*key, answer),
            _ => {}
        }
    }
}

/// The event stream of a call in which the server sends no requests.
impl HttpBody for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let step = std::task::ready!(self.get_mut().poll_step(cx));
        Poll::Ready(step.map(|step| match step? {
            Step::Frame(data) => Ok(Frame::data(data)),
            Step::ServerRequest(_) | Step::InputRequired(_) | Step::Task(_) => {
                Err("the server sent a request that no client can answer".into())
            }
        }))
    }
}
