//! What servers ask clients in the middle of a call, in all four pairings of eras.
//!
//! | client, server | how | state |
//! | --- | --- | --- |
//! | legacy, legacy | the question goes out on the call's stream, under a sealed id that says where its answer goes | none |
//! | legacy, modern | the call is made again with the answers, while the client's stream stays open ([`legacy`]) | the open call |
//! | modern, legacy | the client is answered `input_required`; the call is kept, never made again ([`modern`]) | in the `requestState`, or a kept call |
//! | modern, modern | `input_required` passes, its `requestState` sealed ([`modern`]) | none |
//!
//! What waits in one replica is reached from the others by a hop ([`hop`]).

mod capabilities;
mod codec;
mod forward;
mod generated_body;
mod legacy;
mod modern;
mod pending_call;
mod response;
mod session_requester;
mod suspended;
mod token;
mod wait_registry;

use std::{fmt, sync::Arc};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use portolan_wire::{id::RequestId, object};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "fuzzing")]
pub(crate) use self::token::RequestState;
pub(crate) use self::{
    capabilities::ClientCapabilities,
    codec::{Reader, Writer},
    generated_body::{EventWriter, GeneratedBody},
    legacy::{ask_all, cancelled},
    modern::bring,
    pending_call::{PendingCall, carry_on},
    session_requester::{Pending, SessionRequester},
    token::{Handle, ReplicaLocation, ServerRequestId, UpstreamSessionRef, read_seat, write_seat},
    wait_registry::WaitGuard,
};
use self::{forward::ReplicaPools, suspended::Suspended, token::ResponseRoute, wait_registry::WaitRegistry};
use crate::{config::GatewayConfig, seal::Purpose, service::Inner};

/// What is open between clients and servers in this replica.
pub(crate) struct ServerRequests {
    replica: [u8; 8],
    url: Option<Box<str>>,
    /// Calls of legacy clients that wait for answers.
    waiting: Arc<WaitRegistry>,
    /// Calls that were kept while modern clients are asked.
    suspended: Arc<Suspended>,
    replica_pools: ReplicaPools,
    /// Cancelled when this replica is about to end: nobody can be waited for any more.
    ending: CancellationToken,
}

impl ServerRequests {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        let mut replica = [0; 8];
        // Without randomness nothing can be sealed either, so that no token will name this replica.
        let _ = SystemRandom::new().fill(&mut replica);
        let ending = CancellationToken::new();
        Self {
            replica,
            url: config.replica.as_ref().map(|url| url.as_str().into()),
            waiting: Arc::default(),
            suspended: Arc::new(Suspended::new(config, ending.clone())),
            replica_pools: ReplicaPools::default(),
            ending,
        }
    }

    /// Waits for no answers any more: calls that are kept are cancelled, and who comes back to one is told that it is lost;
    /// calls that wait for answers here and nowhere else fail.
    pub(crate) fn drain(&self) {
        self.ending.cancel();
    }

    /// How many calls are kept while their clients are asked.
    pub(crate) fn kept(&self) -> usize {
        self.suspended.count()
    }

    /// How many calls wait for answers of their clients in this replica.
    pub(crate) fn count(&self) -> usize {
        self.waiting.count() + self.suspended.count()
    }

    /// This replica, and something that waits in it.
    pub(crate) fn place(&self, handle: Handle) -> ReplicaLocation {
        ReplicaLocation {
            replica: self.replica,
            url: self.url.clone(),
            handle,
        }
    }

    pub(crate) fn is_here(&self, place: &ReplicaLocation) -> bool {
        place.replica == self.replica
    }
}

impl fmt::Debug for ServerRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions")
            .field("open", &self.count())
            .finish_non_exhaustive()
    }
}

/// The id of a question to a legacy client in this session.
fn mint(inner: &Inner, session: Handle, to: ResponseRoute) -> Option<RequestId> {
    let sealed = inner
        .keys
        .seal(Purpose::ServerRequest, &ServerRequestId { session, to }.encode());
    RequestId::parse(&object::quote(&sealed.ok()?)).ok()
}

pub(crate) fn random_handle() -> Handle {
    let mut handle = [0; 16];
    let _ = SystemRandom::new().fill(&mut handle);
    handle
}
