//! Policy: may this caller see this, and do this?

use std::fmt::Debug;

use crate::{Caller, GatewayName, InstallName, ServerName, Tool};

/// Decides what a caller may do.
///
/// # Contract
///
/// - One decision serves listing and calling: what is denied is left out of lists and answers like something unknown.
/// - It is asked for each tool of a list and on each call, so it answers from memory.
/// - The same question gets the same answer until the policy itself changes.
pub trait Policy: Debug + Send + Sync {
    /// May `caller` do `action`?
    fn decide(&self, caller: &Caller, action: &Action<'_>) -> Decision;
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// See and call a tool through a gateway.
    UseTool(&'a ToolUse<'a>),
}

/// A tool where a caller would use it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ToolUse<'a> {
    /// The gateway.
    pub gateway: &'a GatewayName,
    /// The server that the tool belongs to.
    pub server: &'a ServerName,
    /// The install that would serve the call, where it is known already.
    pub install: Option<InstallName>,
    /// The tool.
    pub tool: &'a Tool,
}

impl<'a> ToolUse<'a> {
    /// The use of `tool` of `server` through `gateway`.
    pub fn new(gateway: &'a GatewayName, server: &'a ServerName, tool: &'a Tool) -> Self {
        Self {
            gateway,
            server,
            install: None,
            tool,
        }
    }
}

impl<'a> Action<'a> {
    /// The tool that this is about.
    pub fn tool(&self) -> &'a Tool {
        match self {
            Self::UseTool(used) => used.tool,
        }
    }
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No; the caller is not told that there is something to ask for.
    Deny,
}

/// Allows everything. Who may use which install is decided before and apart from this.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn decide(&self, _: &Caller, _: &Action<'_>) -> Decision {
        Decision::Allow
    }
}

/// A policy that is a function.
pub struct PolicyFn<F>(
    /// The function.
    pub F,
);

impl<F> Debug for PolicyFn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolicyFn")
    }
}

impl<F> Policy for PolicyFn<F>
where
    F: Fn(&Caller, &Action<'_>) -> Decision + Send + Sync,
{
    fn decide(&self, caller: &Caller, action: &Action<'_>) -> Decision {
        (self.0)(caller, action)
    }
}
