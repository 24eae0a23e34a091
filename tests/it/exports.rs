//! Everything in a public signature has a name in `portolan`.

#![expect(unused_imports, reason = "that they are there is the test")]

// The traits of `Components` and `Settings`, and what their methods take and give.
use portolan::{
    Action, AuditAction, AuditEvent, AuditOutcome, AuditSink, AuthError, AuthErrorKind, AuthFailed, Authenticator, Bus,
    Caller, Challenge, Claims, Clock, CredentialBroker, CredentialContext, CredentialKey, CredentialReader,
    CredentialRefresh, CredentialRefusal, CredentialStore, Decision, DefinitionChange, ErrorKind, FailMode,
    FailureAction, GatewayName, Guard, GuardContext, GuardDecision, Install, MethodUse, Policy, PolicyFn, PromptUse,
    Registry, ResourceUse, Role, Runtime, Scope, ServerSnapshot, SessionStore, SharedError, ToolUse,
    UpstreamCredential,
};
// What `Platform` gives and takes.
use portolan::{
    Answers, Components, Error, Failure, FailureKind, GatewayHandle, InstallName, InstallRequest, InstallState,
    InstallStatus, LiveState, McpGateway, Orchestrator, OrchestratorOptions, OrchestratorParts, Owner, Platform,
    PlatformBuilder, Progress, RegistryExt, Reinstall, RepairReport, Secret, Selection, ServerName, ServerSpec,
    ServerUpdate, Settings, TokenDigest, TokenGrant, UpdateOutcome, stop_signal,
};
// What the parts are made of.
use portolan::{
    Alias, Assignment, Body, Builder, Channel, Delivery, Discovery, Endpoint, Field, FieldKey, FieldKind, Gateway,
    GatewayConfig, GatewayLimits, GatewayParts, GatewaySpec, Hosts, KubernetesOptions, Labels, Naming, ProcessConfig,
    ProcessLimits, ProcessRuntime, ProtocolEra, Publication, ResourceNaming, RestartPolicy, RunSpec, SealingKeys,
    ServerCommand, ServerRequestPolicy, Sharing, Source, SqlStore, StaticTokens, Status, StatusEvent, StdioServer,
    StoredCredentials, Subject, SystemClock, TeamId, Timeouts, TokenKeys, Tool, ToolName, TraceAudit, Transport,
    Upstream, UserId, Visibility, WorkDir,
};

#[test]
fn a_platform_goes_everywhere() {
    fn is_state<T: Clone + Send + Sync + std::fmt::Debug + 'static>() {}
    is_state::<Platform>();
    is_state::<McpGateway>();
}
