//! Requests of a relay itself, during a client's call.

use crate::call::UpstreamRequest;
use crate::conversion::Conversion;
use crate::conversion::Converted;
use crate::server::Address;
use crate::server::UpstreamServer;
use crate::streamable_http::events;
use bytes::Bytes;
use portolan_core::{Error, Result, Sharing};
use portolan_wire::{envelope::Outcome, era::Era};
use tokio_util::task::TaskTracker;

impl UpstreamServer {
    /// Returns `true` if the server is known to be reached by HTTP now.
    pub fn is_at_url(&self) -> bool {
        match &self.address {
            Address::Fixed(_) => true,
            Address::Channel(_) => false,
            Address::Runtime(..) => self.resolved.load().is_some(),
        }
    }

    /// Returns `true` if a later request finds a task of this server: in its session at a URL, or in the one process that
    /// all callers share.
    pub fn finds_tasks(&self) -> bool {
        self.is_at_url() || self.spec.sharing == Sharing::Shared
    }

    /// Sends a request of the relay itself, and returns the whole outcome, within
    /// [`ClientTimeouts::handshake`](crate::ClientTimeouts::handshake).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::Timeout`] past the deadline.
    pub async fn internal_request(&self, request: &UpstreamRequest<'_>) -> Result<Outcome> {
        let after = self.config().timeouts.handshake;
        let asking = async {
            let reply = self.call(request).await?;
            let message = reply.into_message(self.config().limits.held_bytes).await;
            let outcome = message.ok().flatten().as_ref().and_then(events::outcome);
            outcome.ok_or_else(|| self.protocol_error(format!("its response to {} broke off", request.method)))
        };
        match tokio::time::timeout(after, Box::pin(asking)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Timeout {
                action: format!(
                    "the response of server {:?} to {}",
                    self.spec.name.as_str(),
                    request.method
                ),
                after,
            }),
        }
    }

    /// Converts the outcome of a task, which a modern server gave in response to another request, for the client of
    /// `request`.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] of kind [`FailureKind::Protocol`](portolan_core::FailureKind::Protocol) if the outcome is no
    /// response to the call.
    pub fn told(&self, request: &UpstreamRequest<'_>, outcome: &Outcome) -> Result<Bytes> {
        let conversion = Conversion::new(request, Era::Modern, request.id.clone(), &self.spec);
        match conversion.message(outcome, None) {
            Converted::Message(message) => Ok(message),
            _ => Err(conversion.protocol_error("its task ended with a result that is not valid")),
        }
    }

    /// Returns the tracker of short work that outlives a call.
    pub fn background(&self) -> &TaskTracker {
        &self.client.background()
    }
}
