//! Policy: may this caller see this, and do this?

use std::fmt::Debug;

use crate::{Caller, GatewayName, InstallName, ServerName, Tool};

/// Decides what a caller may do.
///
/// # Contract
///
/// - One decision serves listing and calling: what is denied is left out of lists and answers like something unknown.
/// - It is asked for each tool, prompt and resource of a list and on each call, so it answers from memory.
/// - The same question gets the same answer until the policy itself changes.
pub trait Policy: Debug + Send + Sync {
    /// May `caller` do `action`?
    fn decide(&self, caller: &Caller, action: &Action<'_>) -> Decision;

    /// Whether two callers may get different answers. So unless a policy says otherwise: then no cache outside shares
    /// what one of them was told with another.
    fn depends_on_caller(&self) -> bool {
        true
    }
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// See and call a tool through a gateway.
    UseTool(&'a ToolUse<'a>),
    /// See and get a prompt.
    GetPrompt(&'a PromptUse<'a>),
    /// See and read a resource, or see the template of some.
    ReadResource(&'a ResourceUse<'a>),
    /// Use a method that belongs to neither, of an extension of the protocol.
    UseMethod(&'a MethodUse<'a>),
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

/// A prompt where a caller would get it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PromptUse<'a> {
    /// The gateway.
    pub gateway: &'a GatewayName,
    /// The server that the prompt belongs to.
    pub server: &'a ServerName,
    /// The install that would serve it, where it is known already.
    pub install: Option<InstallName>,
    /// The prompt, as its server names it.
    pub prompt: &'a str,
}

/// A resource where a caller would read it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResourceUse<'a> {
    /// The gateway.
    pub gateway: &'a GatewayName,
    /// The server that would be asked for it.
    pub server: &'a ServerName,
    /// The install that would serve it, where it is known already.
    pub install: Option<InstallName>,
    /// Its URI; or, on a list of templates, the URI template (RFC 6570).
    pub uri: &'a str,
}

/// A method of an extension where a caller would use it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MethodUse<'a> {
    /// The gateway.
    pub gateway: &'a GatewayName,
    /// The server that would be asked.
    pub server: &'a ServerName,
    /// The install that would serve it, where it is known already.
    pub install: Option<InstallName>,
    /// The method, such as `skills/list`.
    pub method: &'a str,
}

macro_rules! place {
    ($name:ident, $member:ident) => {
        impl<'a> $name<'a> {
            /// The use of it through `gateway`.
            pub fn new(gateway: &'a GatewayName, server: &'a ServerName, $member: &'a str) -> Self {
                Self {
                    gateway,
                    server,
                    install: None,
                    $member,
                }
            }
        }
    };
}
place!(PromptUse, prompt);
place!(ResourceUse, uri);
place!(MethodUse, method);

impl<'a> Action<'a> {
    /// The tool that this is about, if it is about one.
    pub fn tool(&self) -> Option<&'a Tool> {
        match self {
            Self::UseTool(used) => Some(used.tool),
            _ => None,
        }
    }

    /// The server that this is about.
    pub fn server(&self) -> &'a ServerName {
        match self {
            Self::UseTool(used) => used.server,
            Self::GetPrompt(used) => used.server,
            Self::ReadResource(used) => used.server,
            Self::UseMethod(used) => used.server,
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

    fn depends_on_caller(&self) -> bool {
        false
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
