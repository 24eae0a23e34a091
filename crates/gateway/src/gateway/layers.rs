//! The layers that the services of a gateway are built on.

use std::sync::Arc;

use portolan_client::Client;
use portolan_core::{AuditSink, Clock, SessionStore};
use tokio_util::task::TaskTracker;

use super::GatewayParts;
use crate::{
    config::GatewayConfig,
    cursor::Cursors,
    edge::Authentication,
    replay::ReplayStore,
    replicas::Replicas,
    routing::{Resolver, RouteTable},
    seal::TokenKeys,
    server_requests::ServerRequests,
    sessions::Sessions,
    subscriptions::Subscriptions,
    tasks::Tasks,
};

/// The lowest layer: what all services use.
pub(super) struct Foundation {
    pub(super) config: Arc<GatewayConfig>,
    pub(super) keys: Arc<TokenKeys>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) audit: Arc<dyn AuditSink>,
    pub(super) session_store: Arc<dyn SessionStore>,
    pub(super) client: Client,
    pub(super) background: TaskTracker,
    pub(super) resolver: Arc<Resolver>,
    pub(super) replicas: Arc<Replicas>,
}

/// The middle layer: the services that keep state for clients.
pub(super) struct ClientState {
    pub(super) replay_store: Arc<ReplayStore>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) server_requests: Arc<ServerRequests>,
    pub(super) cursors: Cursors,
    pub(super) tasks: Arc<Tasks>,
    pub(super) subscriptions: Arc<Subscriptions>,
}

impl Foundation {
    /// Builds the layer, and what else takes parts of the host: the table of gateways, and the authentication.
    pub(super) fn new(parts: GatewayParts) -> (Self, RouteTable, Authentication) {
        let client = Client::new(parts.config.client(parts.audit.clone()));
        let config = Arc::new(parts.config);
        let table = RouteTable::new(parts.runtime, client.clone());
        let authentication = Authentication::new(parts.authenticators, parts.audit.clone(), parts.clock.clone());
        let foundation = Self {
            resolver: Arc::new(Resolver::new(parts.policy, parts.broker)),
            replicas: Arc::new(Replicas::new(&config, parts.bus, client.clone())),
            background: client.background().clone(),
            keys: Arc::new(parts.keys),
            clock: parts.clock,
            audit: parts.audit,
            session_store: parts.sessions,
            client,
            config,
        };
        (foundation, table, authentication)
    }
}

impl ClientState {
    pub(super) fn new(base: &Foundation) -> Self {
        let replay_store = Arc::new(ReplayStore::new(&base.config, base.background.clone()));
        let sessions = Arc::new(Sessions::new(
            &base.config,
            base.keys.clone(),
            base.session_store.clone(),
            base.clock.clone(),
            base.background.clone(),
            replay_store.clone(),
        ));
        let server_requests =
            ServerRequests::new(&base.config, &base.keys, &base.clock, &base.resolver, &base.replicas);
        let server_requests = Arc::new(server_requests);
        let cursors = Cursors::new(base.keys.clone());
        let tasks = Arc::new(Tasks::new(
            &base.config,
            &base.keys,
            &base.clock,
            base.session_store.clone(),
            &base.resolver,
            &sessions,
            cursors.clone(),
            &server_requests,
        ));
        let subscriptions = Arc::new(Subscriptions::new(
            &base.config,
            &base.keys,
            &base.resolver,
            &sessions,
            &base.replicas,
            &server_requests,
            &base.background,
        ));
        Self {
            replay_store,
            sessions,
            server_requests,
            cursors,
            tasks,
            subscriptions,
        }
    }
}
