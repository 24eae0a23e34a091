//! What the gateway asks a server by itself, in the middle of a client's call.

use crate::collect;
use crate::conversion::Conversion;
use crate::conversion::Converted;
use crate::request::UpstreamRequest;
use crate::server::Address;
use crate::server::UpstreamServer;
use bytes::Bytes;
use portolan_core::{Error, Result, Sharing};
use portolan_wire::{envelope::Outcome, era::Era};
use tokio_util::task::TaskTracker;

impl UpstreamServer {
    /// Whether it is known to be reached at a URL, now.
    pub fn is_at_url(&self) -> bool {
        match &self.address {
            Address::Fixed(_) => true,
            Address::Channel(_) => false,
            Address::Runtime(..) => self.resolved.load().is_some(),
        }
    }

    /// Whether a task that a call has become is found again by who asks for it later: in its session at a URL, or in the
    /// one process that all share.
    pub fn finds_tasks(&self) -> bool {
        self.is_at_url() || self.spec.sharing == Sharing::Shared
    }

    /// Asks the server something for the gateway itself, and gives its whole answer, within the time of a handshake.
    pub async fn internal_request(&self, request: &UpstreamRequest<'_>) -> Result<Outcome> {
        let after = self.config().timeouts.handshake;
        let asking = async {
            let reply = self.call(request).await?;
            let message = reply.into_message(self.config().limits.held_bytes).await;
            let outcome = message.ok().flatten().as_ref().and_then(collect::outcome);
            outcome.ok_or_else(|| self.protocol_error(format!("its answer to {} broke off", request.method)))
        };
        match tokio::time::timeout(after, Box::pin(asking)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Timeout {
                action: format!(
                    "the answer of server {:?} to {}",
                    self.spec.name.as_str(),
                    request.method
                ),
                after,
            }),
        }
    }

    /// What the client of `request` is told when a modern server has given the answer otherwise than to the call itself.
    pub fn told(&self, request: &UpstreamRequest<'_>, outcome: &Outcome) -> Result<Bytes> {
        let conversion = Conversion::new(request, Era::Modern, request.id.clone(), &self.spec);
        match conversion.message(outcome, None) {
            Converted::Message(message) => Ok(message),
            _ => Err(conversion.protocol_error("its task ended with something that is no answer")),
        }
    }

    /// Where short work goes on that outlives a call.
    pub fn background(&self) -> &TaskTracker {
        &self.client.background()
    }
}
