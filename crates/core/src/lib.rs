#![cfg_attr(docsrs, feature(doc_cfg))]
//! Domain types, contracts, orchestrator and in-memory backends of Portolan.
//!
//! A **server** is an entry of the catalogue; an **install** is a server connected for one owner; a **runtime** runs
//! self-hosted installs; a **gateway** is the endpoint that MCP clients call. Each part is a trait with a *Contract*
//! section in its documentation, a reference implementation in [`memory`], and a suite in `conformance` (feature
//! `conformance`) that every implementation passes, also those of hosts.

mod audit;
mod auth;
mod auth_error;
mod backoff;
mod broker;
mod bus;
mod caller;
mod challenge;
mod claims;
mod clock;
mod credential;
mod discovery;
mod endpoint;
mod error;
mod failure;
mod field;
mod gateway;
mod guard;
mod install;
mod install_set;
mod key_file;
mod key_provider;
mod kubernetes;
mod label;
mod name;
mod omitted;
mod one_time;
mod owner;
mod policy;
mod refresh;
mod registry;
mod registry_ext;
mod run;
mod runtime;
mod secret;
mod server;
mod server_check;
mod session;
mod source;
mod static_tokens;
mod status;
mod stored_credentials;
mod token;
mod tool;
mod tool_set;
mod upstream_auth;
mod version;

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod memory;
pub mod orchestrator;

pub use audit::{AuditAction, AuditEvent, AuditOutcome, AuditSink, AuthFailed, DefinitionChange, TraceAudit};
pub use auth::{Authenticator, bearer_token};
pub use auth_error::{AuthError, AuthErrorKind};
pub use backoff::Backoff;
pub use broker::{CredentialBroker, CredentialContext, CredentialRefresh, CredentialRefusal, UpstreamCredential};
pub use bus::Bus;
pub use caller::{Caller, Subject};
pub use challenge::Challenge;
pub use claims::Claims;
pub use clock::{Clock, SystemClock};
pub use credential::{CredentialKey, CredentialReader, CredentialStore, Lease};
pub use discovery::{Discovery, ServerSnapshot};
pub use endpoint::{
    CallHandle, Channel, ChannelNotification, ChannelRequest, Endpoint, Exchange, ExchangeEvent, HttpEndpoint,
    RpcResponse, ServerHandshake, ServerRequest,
};
pub use error::{BoxError, Error, ErrorKind, Result, SharedError};
pub use failure::{Failure, FailureAction, FailureKind};
pub use field::{Delivery, Field, FieldKind};
pub use gateway::{
    Alias, Assignment, Gateway, GatewaySpec, Naming, Publication, PublicationChange, ResourceNaming, Route, Selection,
};
pub use guard::{FailMode, Guard, GuardContext, GuardDecision};
pub use install::{Answers, Install, InstallState};
pub use install_set::InstallSet;
pub use key_file::KeyFile;
pub use key_provider::{DataKey, KeyId, KeyProvider, WrappedKey};
pub use kubernetes::{EnvFrom, ImagePull, ImagePullSecret, KubernetesOptions, RunAs, StdioCarrier, Toleration};
pub use label::Labels;
pub use name::{FieldKey, GatewayName, InstallName, Role, Scope, ServerName, TeamId, ToolName, UserId};
pub use omitted::OmittedDefinition;
pub use one_time::{OneTimeStore, check_one_time};
pub use owner::Owner;
pub use policy::{Action, AllowAll, Decision, MethodUse, Policy, PolicyFn, PromptUse, ResourceUse, ToolUse};
pub use refresh::{ExchangeError, RefreshError, RefreshGuard, RefreshOptions};
pub use registry::{Change, Key, Page, Record, RecordKind, Registry, Revision};
pub use registry_ext::RegistryExt;
pub use run::{EnvValue, RunSpec};
pub use runtime::{
    ExecStreams, LogLine, LogQuery, Restart, Runtime, RuntimeExec, RuntimeLogs, RuntimeRestart, RuntimeScale,
};
pub use secret::Secret;
pub use server::{ProtocolEra, ServerRequestPolicy, ServerSpec, Sharing, Visibility};
pub use session::SessionStore;
pub use source::{Source, Transport};
pub use static_tokens::{StaticTokens, digest};
pub use status::{Status, StatusBoard, StatusEvent};
pub use stored_credentials::StoredCredentials;
pub use token::{TokenDigest, TokenGrant};
pub use tool::{Annotations, Tool};
pub use tool_set::{ToolSet, ToolSetCache, ToolSetDigest, WeakToolSet};
pub use upstream_auth::{
    ClientAuthMethod, ClientCredentialsOptions, ExchangeGrant, HeaderPassthrough, OAuthClient, OAuthOptions,
    OAuthOverrides, ResourceIndicator, TokenExchangeOptions, UpstreamAuth,
};
pub use version::{Precondition, Version, Versioned};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
