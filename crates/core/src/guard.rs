//! Guards: checks of the arguments and results of calls.

use std::{borrow::Cow, fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{Action, Caller, Error, Result};

/// Looks at the arguments of a call before the server gets them, and at its result before the client gets it.
///
/// A [`Policy`](crate::Policy) decides by who calls what; a guard sees the content, and may wait, such as for a service
/// that finds secrets or personal data. A gateway asks its guards in order; each sees what the one before it left.
///
/// # Contract
///
/// - `before` runs once per call, after the policy has allowed it and before the server is called.
/// - `after` runs only if [`needs_result`](Self::needs_result) is `true`. A gateway collects such a result whole before the
///   client gets any of it; results of other calls are streamed.
/// - [`Replace`](GuardDecision::Replace) holds JSON of the kind that was given: an object for an object.
/// - Both are given up after [`timeout`](Self::timeout): their futures may be dropped at any `await`. A guard that takes
///   too long or fails counts as passed or as refused, by its [`fail_mode`](Self::fail_mode).
/// - Calls are independent: a guard bears any number of them at once.
/// - No error, log line or reason shows arguments or results.
///
/// ```
/// use bytes::Bytes;
/// use portolan_core::{Guard, GuardContext, GuardDecision, Result};
///
/// /// Refuses calls whose arguments are larger than 1 KiB.
/// #[derive(Debug)]
/// struct SmallArguments;
///
/// #[async_trait::async_trait]
/// impl Guard for SmallArguments {
///     fn name(&self) -> &str {
///         "small_arguments"
///     }
///
///     async fn before(&self, _: &GuardContext<'_>, arguments: &Bytes) -> Result<GuardDecision> {
///         Ok(match arguments.len() {
///             0..=1024 => GuardDecision::Pass,
///             _ => GuardDecision::refuse("arguments are larger than 1 KiB"),
///         })
///     }
/// }
/// let guard: std::sync::Arc<dyn Guard> = std::sync::Arc::new(SmallArguments);
/// assert!(!guard.needs_result());
/// ```
#[async_trait]
pub trait Guard: Debug + Send + Sync {
    /// Returns the name of this guard in audit records, such as `secret_scan`.
    fn name(&self) -> &str;

    /// Decides on a call by its arguments: the raw JSON object of the request's `arguments`, or `{}` if it has none. For
    /// other requests than tool calls and prompts it is the request's `params`.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: the decision is that of [`fail_mode`](Self::fail_mode) then.
    async fn before(&self, context: &GuardContext<'_>, arguments: &Bytes) -> Result<GuardDecision>;

    /// Decides on the result of a call: the raw JSON object of the response's `result`. Passes by default.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: the decision is that of [`fail_mode`](Self::fail_mode) then.
    async fn after(&self, context: &GuardContext<'_>, result: &Bytes) -> Result<GuardDecision> {
        let _ = (context, result);
        Ok(GuardDecision::Pass)
    }

    /// Returns `true` if the result of this call has to go through [`after`](Self::after). `false` by default, and then
    /// results are streamed without a copy. The answer is the same for all calls.
    fn needs_result(&self) -> bool {
        false
    }

    /// Returns the longest time that one `before` or `after` may take. 5 s by default.
    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Returns what a failure or timeout of this guard means for the call. [`FailMode::Closed`] by default.
    fn fail_mode(&self) -> FailMode {
        FailMode::Closed
    }
}

/// The effect of a failure or timeout of a guard on the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailMode {
    /// The call is refused.
    #[default]
    Closed,
    /// The call goes on as if the guard had passed it.
    Open,
}

/// The decision of a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardDecision {
    /// The arguments or the result go on unchanged.
    Pass,
    /// The arguments or the result are replaced by this JSON object.
    Replace(Bytes),
    /// The call is refused, or its result withheld: see [`GuardDecision::refuse`].
    #[non_exhaustive]
    Refuse {
        /// The reason, which the client and the audit record get.
        reason: Cow<'static, str>,
    },
}

impl GuardDecision {
    /// Refuses with a reason, which the client gets as a tool result that is an error, and the audit record.
    ///
    /// ```
    /// let decision = portolan_core::GuardDecision::refuse("the arguments contain a password");
    /// assert_eq!(decision.reason(), Some("the arguments contain a password"));
    /// ```
    pub fn refuse(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Refuse { reason: reason.into() }
    }

    /// Returns the reason of a refusal.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refuse { reason } => Some(reason),
            _ => None,
        }
    }
}

/// The call that a guard decides on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct GuardContext<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// The gateway, the server, the install, and the tool, prompt or resource.
    pub action: Action<'a>,
    /// The identifier of the request in logs and audit records.
    pub request_id: Option<&'a str>,
}

impl<'a> GuardContext<'a> {
    /// Creates the context of `action` by `caller`.
    ///
    /// ```
    /// use portolan_core::{Action, Caller, GatewayName, GuardContext, PromptUse, ServerName, Subject};
    ///
    /// let (gateway, server) = (GatewayName::parse("default")?, ServerName::parse("docs")?);
    /// let (caller, used) = (Caller::new(Subject::Org, "token"), PromptUse::new(&gateway, &server, "summary"));
    /// let context = GuardContext::new(&caller, Action::GetPrompt(&used)).with_request_id("01890a5d");
    /// assert_eq!(context.action.name(), "summary");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(caller: &'a Caller, action: Action<'a>) -> Self {
        Self {
            caller,
            action,
            request_id: None,
        }
    }

    /// Sets the identifier of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }
}

impl dyn Guard + '_ {
    /// Runs [`before`](Guard::before) within the guard's timeout and applies its fail mode, so that there is always a
    /// decision. For gateways.
    pub async fn check_arguments(&self, context: &GuardContext<'_>, arguments: &Bytes) -> GuardDecision {
        self.settle(self.before(context, arguments)).await
    }

    /// Runs [`after`](Guard::after) within the guard's timeout and applies its fail mode, so that there is always a
    /// decision. Passes without asking if [`needs_result`](Guard::needs_result) is `false`. For gateways.
    pub async fn check_result(&self, context: &GuardContext<'_>, result: &Bytes) -> GuardDecision {
        if !self.needs_result() {
            return GuardDecision::Pass;
        }
        self.settle(self.after(context, result)).await
    }

    async fn settle(&self, deciding: impl Future<Output = Result<GuardDecision>>) -> GuardDecision {
        let timeout = self.timeout();
        let decided = match tokio::time::timeout(timeout, deciding).await {
            Ok(Ok(GuardDecision::Replace(json))) if !is_object(&json) => {
                Err(Error::invalid("replacement", "is not a JSON object"))
            }
            Ok(decided) => decided,
            Err(_) => Err(Error::Timeout {
                action: format!("guard {:?}", self.name()),
                after: timeout,
            }),
        };
        decided.unwrap_or_else(|error| {
            let mode = self.fail_mode();
            tracing::warn!(guard = self.name(), %error, ?mode, "a guard failed");
            match mode {
                FailMode::Open => GuardDecision::Pass,
                FailMode::Closed => GuardDecision::refuse(format!("guard {:?} cannot check this now", self.name())),
            }
        })
    }
}

fn is_object(json: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(json).is_ok_and(|raw| raw.get().starts_with('{'))
}

#[cfg(test)]
mod tests;
