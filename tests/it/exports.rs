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
    PlatformBuilder, Progress, RegistryExt, Reinstall, RepairReport, Secret, Selection, ServerInstalls, ServerName,
    ServerSpec, ServerUpdate, Settings, TokenDigest, TokenGrant, UpdateOutcome, stop_signal,
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

/// A host calls these in handlers and tasks of its own.
#[test]
fn futures_can_be_spawned() {
    fn spawned<T: Send + 'static>(_: impl Future<Output = T> + Send + 'static) {}
    #[expect(clippy::redundant_clone, reason = "each block takes one along")]
    fn check(platform: Platform, server: ServerName, install: Install, gateway: GatewayName) {
        let (p, spec) = (
            platform.clone(),
            ServerSpec::remote("a", "http://a.example").expect("a spec"),
        );
        spawned(async move { p.ensure(spec).await });
        let (p, spec) = (
            platform.clone(),
            ServerSpec::remote("a", "http://a.example").expect("a spec"),
        );
        spawned(async move { p.update(spec).await });
        let (p, s) = (platform.clone(), server.clone());
        spawned(async move { p.install(&s, Owner::Org).await });
        let (p, s) = (platform.clone(), server.clone());
        spawned(async move { p.install_with(&s, Owner::Org, [("key", "answer")]).await });
        let (p, i) = (platform.clone(), install.name);
        spawned(async move { p.remove(&i).await });
        let (p, i) = (platform.clone(), install.name);
        spawned(async move { p.delete(&i).await });
        let (p, i) = (platform.clone(), install.name);
        spawned(async move { p.restore(&i).await });
        let (p, s) = (platform.clone(), server.clone());
        spawned(async move { p.delete_server(&s).await });
        let (p, s) = (platform.clone(), server.clone());
        spawned(async move { p.restore_server(&s).await });
        let p = platform.clone();
        spawned(async move { p.status().await });
        spawned(platform.gateway("a").serve_all_of(&install).into_future());
        let (p, g) = (platform.clone(), gateway.clone());
        spawned(async move { p.rotate_token(&g, Owner::Org, "label").await });
        let p = platform.clone();
        spawned(async move { p.shutdown(std::time::Duration::ZERO).await });
        spawned(platform.shutdown_on(stop_signal(), std::time::Duration::ZERO));
        spawned(async move { Platform::local("a.db").await.map(drop) });
        spawned(async move { platform.serve("127.0.0.1:0").await });
    }
    let _ = check;
}
