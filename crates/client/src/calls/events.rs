//! An answer that takes several steps, from a server of either transport.

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

/// The steps of one answer.
#[derive(Debug)]
pub struct Events(Relay);

#[derive(Debug)]
enum Relay {
    /// From a server at a URL.
    Http(Box<EventRelay>),
    /// From a server behind a channel.
    Channel(Box<ChannelRelay>),
}

impl Events {
    /// Of a server at a URL.
    pub(crate) fn http(relay: Box<EventRelay>) -> Self {
        Self(Relay::Http(relay))
    }

    /// Of a server behind a channel.
    pub(crate) fn channel(relay: Box<ChannelRelay>) -> Self {
        Self(Relay::Channel(relay))
    }

    /// The next step; `None` at the end.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        match &mut self.0 {
            Relay::Http(relay) => relay.poll_step(cx),
            Relay::Channel(relay) => relay.poll_step(cx),
        }
    }

    /// The next step; `None` at the end. Dropped, it loses nothing.
    pub async fn step(&mut self) -> Option<Result<Step, BoxError>> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Whether this call may need its client before it is over.
    pub fn may_ask(&self) -> bool {
        let conversion = match &self.0 {
            Relay::Http(relay) => relay.conversion(),
            Relay::Channel(relay) => &relay.conversion,
        };
        conversion.client.is_some() && (conversion.upstream == Era::Modern || !conversion.capabilities.is_none())
    }

    /// In which session at a server at a URL this call is.
    pub fn session_ref(&self) -> Option<UpstreamSessionRef> {
        match &self.0 {
            Relay::Http(relay) => relay.session_ref(),
            Relay::Channel(_) => None,
        }
    }

    /// Leaves a call at a server whose stream can be taken up again by any replica.
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

    /// From now on every event is given out whole.
    pub fn hold(&mut self) {
        if let Relay::Http(relay) = &mut self.0 {
            relay.hold(true);
        }
    }

    /// The answer goes to another request, with another progress token, of the same client. What was given out already has
    /// to be [told anew](crate::retell).
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

    /// Brings the server an answer to a question of this call.
    pub fn answer(&mut self, key: &ServerRequestKey, answer: RpcResponse) {
        match (&mut self.0, key) {
            (Relay::Http(relay), ServerRequestKey::Id(id)) => relay.answer(id, response(id, &answer)),
            (Relay::Channel(relay), ServerRequestKey::Channel(key)) => relay.answer(*key, answer),
            _ => {}
        }
    }
}

/// A call in which nothing is asked flows by as it is.
impl HttpBody for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let step = std::task::ready!(self.get_mut().poll_step(cx));
        Poll::Ready(step.map(|step| match step? {
            Step::Frame(data) => Ok(Frame::data(data)),
            Step::ServerRequest(_) | Step::InputRequired(_) | Step::Task(_) => {
                Err("the server asks something that nobody can answer".into())
            }
        }))
    }
}
