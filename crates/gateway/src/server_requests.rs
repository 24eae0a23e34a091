//! Server requests: requests that servers send to clients during a call, in all four pairings of eras.
//!
//! | client, server | how | state |
//! | --- | --- | --- |
//! | legacy, legacy | the server request is sent on the call's stream, under a sealed id that names the route of its response | none |
//! | legacy, modern | the call is sent again with the client's responses, while its stream stays open | the open call |
//! | modern, legacy | the client gets an `input_required` result; the call is suspended, never sent again | in the `requestState`, or a suspended call |
//! | modern, modern | `input_required` is relayed, its `requestState` sealed | none |
//!
//! A call that waits in one replica is reached from the others by forwarding the client's request.

mod client_response;
mod on_stream;
mod out_of_band;
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
    out_of_band::{PendingRequests, SessionRequester},
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

/// Relays server requests to clients, and the responses back to the waiting calls.
pub(crate) struct ServerRequests {
    config: Arc<GatewayConfig>,
    keys: Arc<TokenKeys>,
    clock: Arc<dyn Clock>,
    resolver: Arc<Resolver>,
    replicas: Arc<Replicas>,
    /// Calls of legacy clients that wait for responses.
    waiting: Arc<WaitRegistry>,
    /// Calls of modern clients that are suspended until the client responds.
    suspended: Arc<Suspended>,
    /// Cancelled when this replica is about to shut down.
    shutdown: CancellationToken,
}

impl ServerRequests {
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        keys: &Arc<TokenKeys>,
        clock: &Arc<dyn Clock>,
        resolver: &Arc<Resolver>,
        replicas: &Arc<Replicas>,
    ) -> Self {
        let shutdown = CancellationToken::new();
        Self {
            config: config.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            resolver: resolver.clone(),
            replicas: replicas.clone(),
            waiting: Arc::default(),
            suspended: Arc::new(Suspended::new(config, shutdown.clone())),
            shutdown,
        }
    }

    /// Stops waiting for responses before a shutdown: suspended calls are cancelled, and calls that wait in this
    /// replica fail.
    pub(crate) fn drain(&self) {
        self.shutdown.cancel();
    }

    /// Returns the number of suspended calls.
    pub(crate) fn suspended_count(&self) -> usize {
        self.suspended.count()
    }

    /// Returns the number of calls in this replica that wait for a client's response.
    pub(crate) fn count(&self) -> usize {
        self.waiting.count() + self.suspended.count()
    }

    /// Registers a call that waits for responses of a legacy client.
    pub(crate) fn register(&self) -> WaitGuard {
        self.waiting.register()
    }

    /// Takes a suspended call out; `None` if it is no longer kept.
    pub(crate) async fn take_suspended(&self, handle: &Handle) -> Option<SuspendedCall> {
        self.suspended.take(handle).await
    }

    /// Seals the id of a server request to the legacy client of a session.
    fn seal_request_id(&self, session: Handle, to: ResponseRoute) -> Option<RequestId> {
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
