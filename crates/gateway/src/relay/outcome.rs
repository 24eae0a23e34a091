//! Turns the replies of servers into responses for clients.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use portolan_client::{JsonRelay, Reply};
use portolan_core::Result;
use portolan_wire::era::Era;

use super::{Relay, guards::GuardRefusal, legacy_client, modern_client};
use crate::{
    body::{Body, GeneratedBody},
    relay_request::RelayRequest,
};

/// The response for a client.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The whole message.
    Message(Bytes),
    /// The message as it arrives.
    Json(Box<JsonRelay>),
    /// Events; the last one is the message.
    Events(Body),
    /// The response to a call that a guard refused.
    Refused(GuardRefusal),
    /// The response of another replica.
    Forwarded(Box<Response<Body>>),
    /// No response: the client cancelled the call.
    Cancelled,
}

impl Relay {
    /// Turns a reply into the response for the client. A reply that needs the client first becomes a stream that
    /// continues the call: with the client's responses, or with the task that the call became.
    pub(super) fn finish(self: &Arc<Self>, request: RelayRequest, reply: Reply) -> Result<Outcome> {
        Ok(match (request.era(), reply) {
            (_, Reply::Message(message) | Reply::HeaderMismatch(message) | Reply::TaskRequired(message)) => {
                Outcome::Message(message)
            }
            (_, Reply::Json(body)) => Outcome::Json(body),
            (_, Reply::Cancelled) => Outcome::Cancelled,
            (_, Reply::Events(events)) if !events.may_ask() => Outcome::Events(Body::relayed(events)),
            (Era::Legacy, reply) => {
                let relay = self.clone();
                Outcome::Events(GeneratedBody::begin(|writer| {
                    legacy_client::generate(relay, request, reply, writer)
                }))
            }
            (Era::Modern, Reply::InputRequired(input)) => {
                Outcome::Message(self.server_requests.wrap(&request, input, 1)?)
            }
            (Era::Modern, Reply::Task(task)) => {
                let relay = self.clone();
                Outcome::Events(GeneratedBody::begin(|writer| async move {
                    relay.tasks.poll(&request, task, None, false, &writer).await;
                }))
            }
            (Era::Modern, Reply::Events(events)) => modern_client::stream(self, request, events.into()),
        })
    }
}
