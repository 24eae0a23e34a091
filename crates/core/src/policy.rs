//! Policy: what a caller may see and do.

use std::{borrow::Cow, fmt::Debug};

use crate::{Caller, GatewayName, InstallName, Scope, ServerName, Tool};

/// Decides what a caller may see and do.
///
/// # Contract
///
/// - One decision serves lists and calls: a denied item is left out of lists, and a call of it is answered like a call of
///   an unknown one. An item that needs [more scopes](Decision::step_up) is listed.
/// - A gateway asks for each item of a list and on each call, so a policy answers from memory.
/// - Equal questions get equal answers until the policy itself changes.
/// - If [`depends_on_caller`](Self::depends_on_caller) is `false`, all callers get equal answers.
///
/// ```
/// use portolan_core::{Action, Caller, Decision, Policy, PolicyFn};
///
/// let read_only = PolicyFn(|_: &Caller, action: &Action<'_>| match action.tool() {
///     Some(tool) if tool.is_destructive() => Decision::deny_because("destructive tools are off"),
///     _ => Decision::Allow,
/// });
/// assert!(read_only.depends_on_caller());
/// ```
pub trait Policy: Debug + Send + Sync {
    /// Decides on one action of a caller.
    fn decide(&self, caller: &Caller, action: &Action<'_>) -> Decision;

    /// Returns `true` if two callers may get different answers, so that no cache shares one caller's lists with another.
    /// `true` by default.
    fn depends_on_caller(&self) -> bool {
        true
    }
}

/// An action that a policy decides on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// See and call a tool.
    UseTool(&'a ToolUse<'a>),
    /// See and get a prompt.
    GetPrompt(&'a PromptUse<'a>),
    /// See and read a resource, or see a resource template.
    ReadResource(&'a ResourceUse<'a>),
    /// Use a method of an extension of the protocol.
    UseMethod(&'a MethodUse<'a>),
}

/// The use of a tool through a gateway.
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
    /// Creates the use of `tool` of `server` through `gateway`.
    ///
    /// ```
    /// use portolan_core::{Action, GatewayName, ServerName, Tool, ToolUse};
    ///
    /// let (gateway, server) = (GatewayName::parse("default")?, ServerName::parse("time")?);
    /// let tool = Tool::parse(serde_json::value::RawValue::from_string(r#"{"name":"now"}"#.into()).expect("JSON"))?;
    /// assert_eq!(Action::UseTool(&ToolUse::new(&gateway, &server, &tool)).name(), "now");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(gateway: &'a GatewayName, server: &'a ServerName, tool: &'a Tool) -> Self {
        Self {
            gateway,
            server,
            install: None,
            tool,
        }
    }
}

/// The use of a prompt through a gateway.
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

/// The use of a resource through a gateway.
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

/// The use of an extension's method through a gateway.
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

macro_rules! named_use {
    ($name:ident, $member:ident) => {
        impl<'a> $name<'a> {
            #[doc = concat!("Creates the use of `", stringify!($member), "` of `server` through `gateway`.")]
            ///
            /// ```
            #[doc = concat!("use portolan_core::{GatewayName, ", stringify!($name), ", ServerName};")]
            ///
            /// let (gateway, server) = (GatewayName::parse("default")?, ServerName::parse("docs")?);
            #[doc = concat!("let used = ", stringify!($name), "::new(&gateway, &server, \"example\");")]
            #[doc = concat!("assert_eq!(used.", stringify!($member), ", \"example\");")]
            /// # Ok::<(), portolan_core::Error>(())
            /// ```
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
named_use!(PromptUse, prompt);
named_use!(ResourceUse, uri);
named_use!(MethodUse, method);

impl<'a> Action<'a> {
    /// Returns the tool, if the action is about one.
    pub fn tool(&self) -> Option<&'a Tool> {
        match self {
            Self::UseTool(used) => Some(used.tool),
            _ => None,
        }
    }

    /// Returns the gateway.
    pub fn gateway(&self) -> &'a GatewayName {
        match self {
            Self::UseTool(used) => used.gateway,
            Self::GetPrompt(used) => used.gateway,
            Self::ReadResource(used) => used.gateway,
            Self::UseMethod(used) => used.gateway,
        }
    }

    /// Returns the server.
    pub fn server(&self) -> &'a ServerName {
        match self {
            Self::UseTool(used) => used.server,
            Self::GetPrompt(used) => used.server,
            Self::ReadResource(used) => used.server,
            Self::UseMethod(used) => used.server,
        }
    }

    /// Returns the install that serves the request, where it is known already.
    pub fn install(&self) -> Option<InstallName> {
        match self {
            Self::UseTool(used) => used.install,
            Self::GetPrompt(used) => used.install,
            Self::ReadResource(used) => used.install,
            Self::UseMethod(used) => used.install,
        }
    }

    /// Returns the name of the tool or prompt as its server has it, the URI of the resource, or the method.
    pub fn name(&self) -> &'a str {
        match self {
            Self::UseTool(used) => used.tool.name().as_str(),
            Self::GetPrompt(used) => used.prompt,
            Self::ReadResource(used) => used.uri,
            Self::UseMethod(used) => used.method,
        }
    }
}

/// The decision of a policy.
///
/// ```
/// use portolan_core::Decision;
///
/// assert!(Decision::Allow.is_allowed());
/// assert_eq!(Decision::deny_because("outside of office hours").reason(), Some("outside of office hours"));
/// assert_eq!(Decision::from(false), Decision::deny());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller may not do it, and is not told that there is something to ask for: see [`Decision::deny`].
    #[non_exhaustive]
    Deny {
        /// The reason, for audit records.
        reason: Option<Cow<'static, str>>,
    },
    /// The caller may do it with a token that has more scopes: see [`Decision::step_up`].
    #[non_exhaustive]
    StepUp {
        /// The scopes that the request needs, all of them, also those that the token has.
        scopes: Vec<Scope>,
    },
}

impl Decision {
    /// Denies without a reason.
    pub fn deny() -> Self {
        Self::Deny { reason: None }
    }

    /// Denies with a reason for audit records. The client does not see it.
    pub fn deny_because(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Deny {
            reason: Some(reason.into()),
        }
    }

    /// Requires a token with `scopes`. Lists show the item; a call is answered 403 with an `insufficient_scope` challenge
    /// that names the scopes (RFC 6750 3.1).
    ///
    /// ```
    /// use portolan_core::{Decision, Scope};
    ///
    /// let decision = Decision::step_up([Scope::parse("issues:write")?]);
    /// assert!(!decision.is_allowed() && decision.is_visible());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn step_up(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self::StepUp {
            scopes: scopes.into_iter().collect(),
        }
    }

    /// Returns `true` if the caller may do it now.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }

    /// Returns `true` if lists show the item: it is allowed, or needs more scopes.
    pub fn is_visible(&self) -> bool {
        matches!(self, Self::Allow | Self::StepUp { .. })
    }

    /// Returns the reason of a denial.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Deny { reason } => reason.as_deref(),
            _ => None,
        }
    }
}

impl From<bool> for Decision {
    /// Allows for `true`, denies without a reason for `false`.
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::deny() }
    }
}

/// A policy that allows everything. Which installs serve a caller is decided before and apart from policies.
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

/// A policy made of a function. For an example, see [`Policy`].
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
