//! What servers ask clients in the middle of a call, in all four pairings of eras.
//!
//! | client, server | how | state |
//! | --- | --- | --- |
//! | legacy, legacy | the server request goes out on the call's stream, under a sealed id that says where its answer goes | none |
//! | legacy, modern | the call is sent again with the answers, while the client's stream stays open | the open call |
//! | modern, legacy | the client is answered `input_required`; the call is suspended, never sent again | in the `requestState`, or a suspended call |
//! | modern, modern | `input_required` passes, its `requestState` sealed | none |
//!
//! What waits in one replica is reached from the others by forwarding the client's request.

mod asking;
mod response;
mod session_requester;
mod state;
mod suspended;
mod token;
mod wait_registry;

use std::{fmt, sync::Arc};

use portolan_core::Clock;
use portolan_wire::{id::RequestId, object};
use tokio_util::sync::CancellationToken;

#[cfg(not(feature = "fuzzing"))]
use self::token::ServerRequestId;
#[cfg(feature = "fuzzing")]
pub(crate) use self::token::{RequestState, ServerRequestId};
pub(crate) use self::{
    session_requester::{PendingRequests, SessionRequester},
    suspended::SuspendedCall,
    token::{Continuation, StreamCheckpointState, TaskContinuation},
    wait_registry::WaitGuard,
};
use self::{suspended::Suspended, token::ResponseRoute, wait_registry::WaitRegistry};
use crate::{
    config::GatewayConfig,
    replicas::{Handle, Replicas},
    routing::Resolver,
    seal::{Purpose, TokenKeys},
};

/// What servers ask clients, and the answers on their way back.
pub(crate) struct ServerRequests {
    config: Arc<GatewayConfig>,
    keys: Arc<TokenKeys>,
    clock: Arc<dyn Clock>,
    resolver: Arc<Resolver>,
    replicas: Arc<Replicas>,
    /// Calls of legacy clients that wait for answers.
    waiting: Arc<WaitRegistry>,
    /// Calls that are suspended while modern clients are asked.
    suspended: Arc<Suspended>,
    /// Cancelled when this replica is about to end: nobody can be waited for any more.
    ending: CancellationToken,
}

impl ServerRequests {
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        keys: &Arc<TokenKeys>,
        clock: &Arc<dyn Clock>,
        resolver: &Arc<Resolver>,
        replicas: &Arc<Replicas>,
    ) -> Self {
        let ending = CancellationToken::new();
        Self {
            config: config.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            resolver: resolver.clone(),
            replicas: replicas.clone(),
            waiting: Arc::default(),
            suspended: Arc::new(Suspended::new(config, ending.clone())),
            ending,
        }
    }

    /// Waits for no answers any more: suspended calls are cancelled, and a client that comes back to one learns that it is
    /// lost; calls that wait for answers here and nowhere else fail.
    pub(crate) fn drain(&self) {
        self.ending.cancel();
    }

    /// The number of calls that are suspended while their clients are asked.
    pub(crate) fn suspended_count(&self) -> usize {
        self.suspended.count()
    }

    /// The number of calls that wait for answers of their clients in this replica.
    pub(crate) fn count(&self) -> usize {
        self.waiting.count() + self.suspended.count()
    }

    /// Enters a call that waits for answers of a legacy client.
    pub(crate) fn enter(&self) -> WaitGuard {
        self.waiting.enter()
    }

    /// Takes a suspended call back; `None` if it is gone.
    pub(crate) async fn take_suspended(&self, handle: &Handle) -> Option<SuspendedCall> {
        self.suspended.take(handle).await
    }

    /// The id of a server request to the legacy client of a session.
    fn mint(&self, session: Handle, to: ResponseRoute) -> Option<RequestId> {
        let payload = ServerRequestId { session, to }.encode();
        let sealed = self.keys.seal(Purpose::ServerRequest, &payload);
        RequestId::parse(&object::quote(&sealed.ok()?)).ok()
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

impl fmt::Debug for ServerRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerRequests")
            .field("open", &self.count())
            .finish_non_exhaustive()
    }
}
