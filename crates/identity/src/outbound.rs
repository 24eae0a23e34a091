//! As whom servers are called: OAuth clients of providers, and the broker of their tokens.

mod authorization;
mod broker;
mod challenge;
mod client;
mod discovery;
mod error;
mod exchange;
mod json;
mod machine;
mod metadata;
mod normalize;
mod passthrough;
mod registration;
mod renewal;
mod slot;
mod store;
mod token;
mod token_set;

pub use self::{
    authorization::{AuthorizationRequest, PendingAuthorization},
    broker::{ConnectLink, OAuthBroker, OAuthConfig},
    challenge::BearerChallenge,
    client::RegisteredClient,
    discovery::{Discovery, Provider},
    error::OAuthError,
    metadata::{ResourceMetadata, ServerMetadata},
    store::{ConnectionState, Connections},
    token_set::TokenSet,
};
