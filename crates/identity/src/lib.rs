#![cfg_attr(docsrs, feature(doc_cfg))]
//! Who calls a gateway, and as whom the gateway calls servers.
//!
//! [`EgressClient`] fetches what a stranger's URL names: metadata, keys, tokens.

mod connect;
mod egress;
mod outbound;

pub use connect::{BrowserSession, ConnectConfig, ConnectPages};
pub use egress::{EgressClient, EgressConfig, EgressError};
pub use outbound::{
    AuthorizationRequest, BearerChallenge, ConnectLink, ConnectionState, Connections, Discovery, OAuthBroker,
    OAuthConfig, OAuthError, PendingAuthorization, Provider, RegisteredClient, ResourceMetadata, ServerMetadata,
    TokenSet,
};
