//! What a call to the API server came to, by what can be done about it, and how it reads.

use std::{fmt, time::Duration};

use portolan_core::{BoxError, Error, Failure, FailureKind};

/// Why a call to the API server failed.
///
/// `Display` is the line that a person reads. No text of ours and none of the server's that is kept here holds a secret:
/// bodies of requests are not repeated.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The object is not there.
    NotFound(String),
    /// The namespace is not there.
    NamespaceNotFound(String),
    /// The object is there already, or changed since it was read.
    Conflict(String),
    /// The account lacks a rule.
    Forbidden(Forbidden),
    /// A quota is used up.
    Quota(String),
    /// What was sent is refused: it will be refused again.
    Rejected(String),
    /// The token or certificate is not accepted.
    Unauthorized {
        /// The kubeconfig's context, or what else says which cluster.
        cluster: String,
    },
    /// The server asks for patience, or has trouble of its own.
    ServerBusy {
        /// What it says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or no connection.
    Unreachable {
        /// The kubeconfig's context, or what else says which cluster.
        cluster: String,
        /// What happened.
        why: String,
    },
}

/// A rule that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    message: String,
    rule: Option<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    user: String,
    verb: String,
    resource: String,
    namespace: Option<String>,
}

impl ApiError {
    /// Sorts `error` of a call to `cluster`.
    pub(crate) fn classify(error: kube::Error, cluster: &str) -> Self {
        let cluster = || cluster.to_owned();
        match error {
            kube::Error::Api(status) => Self::from_status(&status, cluster()),
            kube::Error::Auth(error) => Self::Unreachable {
                cluster: cluster(),
                why: auth_text(&error),
            },
            kube::Error::SerdeError(_) => Self::ServerBusy {
                message: "its answer is not what the API promises".into(),
                retry_after: None,
            },
            other => Self::Unreachable {
                cluster: cluster(),
                why: root_of(&other),
            },
        }
    }

    fn from_status(status: &kube::core::Status, cluster: String) -> Self {
        let message = if status.message.is_empty() {
            status.reason.clone()
        } else {
            status.message.clone()
        };
        let details = status.details.as_ref();
        let retry_after = details
            .map(|details| u64::from(details.retry_after_seconds))
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
        match status.code {
            401 => Self::Unauthorized { cluster },
            403 if message.contains("exceeded quota") => Self::Quota(message),
            403 => Self::Forbidden(Forbidden::read(message)),
            404 if details.is_some_and(|details| details.kind == "namespaces") => {
                Self::NamespaceNotFound(details.map(|details| details.name.clone()).unwrap_or_default())
            }
            404 | 410 => Self::NotFound(message),
            409 => Self::Conflict(message),
            429 | 500..=599 => Self::ServerBusy { message, retry_after },
            _ => Self::Rejected(message),
        }
    }

    /// A call to `cluster` that took too long.
    pub(crate) fn timed_out(cluster: &str, after: Duration) -> Self {
        Self::Unreachable {
            cluster: cluster.to_owned(),
            why: format!("no answer within {} s", after.as_secs().max(1)),
        }
    }

    /// Whether the same call may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::ServerBusy { .. } | Self::Unreachable { .. })
    }

    /// Whether no answer came from the cluster, so that nothing is known about the object.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(
            self,
            Self::ServerBusy { .. } | Self::Unreachable { .. } | Self::Unauthorized { .. }
        )
    }

    /// As the contracts' error, for a call that should have done `action`.
    pub(crate) fn into_error(self, action: impl Into<String>) -> Error {
        let backend = "Kubernetes";
        match self {
            Self::Unreachable { .. } | Self::ServerBusy { .. } | Self::Unauthorized { .. } => Error::Unavailable {
                backend,
                source: Box::new(self),
            },
            other => Error::Backend {
                backend,
                action: action.into(),
                source: Box::new(other) as BoxError,
            },
        }
    }

    /// As the failure of a deployment whose objects could not be written.
    pub(crate) fn to_failure(&self) -> Failure {
        match self {
            Self::Quota(_) => Failure::new(FailureKind::Quota, self.to_string())
                .remedy("raise the quota of the namespace, or remove what is not needed"),
            Self::Forbidden(_) => Failure::new(FailureKind::Config, self.to_string()),
            Self::NamespaceNotFound(name) => Failure::new(FailureKind::Config, self.to_string())
                .remedy(format!("create it: kubectl create namespace {name}")),
            Self::Unauthorized { .. } | Self::Unreachable { .. } | Self::ServerBusy { .. } => {
                Failure::new(FailureKind::Connection, self.to_string())
            }
            Self::NotFound(_) | Self::Conflict(_) | Self::Rejected(_) => {
                Failure::new(FailureKind::Config, self.to_string())
            }
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(message) | Self::Conflict(message) | Self::Quota(message) => f.write_str(message),
            Self::Rejected(message) => write!(f, "the API server refuses it: {message}"),
            Self::NamespaceNotFound(name) => write!(f, "there is no namespace {name:?}"),
            Self::Forbidden(forbidden) => forbidden.fmt(f),
            Self::Unauthorized { cluster } => write!(
                f,
                "cannot reach Kubernetes: {cluster} answers \"Unauthorized\"; its token or certificate has expired or is not accepted"
            ),
            Self::ServerBusy { message, .. } => write!(f, "the API server is busy: {message}"),
            Self::Unreachable { cluster, why } => write!(f, "cannot reach Kubernetes: {cluster}: {why}"),
        }
    }
}

impl std::error::Error for ApiError {}

impl Forbidden {
    fn read(message: String) -> Self {
        let rule = Rule::read(&message);
        Self { message, rule }
    }
}

impl Rule {
    /// Reads `… User "U" cannot V resource "R" in API group "G" in the namespace "N"`: the API server gives the rule in no
    /// other form. What reads differently is shown as it came.
    fn read(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once('"')?;
        let namespace = rest
            .split_once("in the namespace \"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(namespace, _)| namespace.to_owned());
        Some(Self {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            namespace,
        })
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rule) = &self.rule else {
            return write!(f, "forbidden: {}", self.message);
        };
        let account = rule.user.strip_prefix("system:serviceaccount:");
        match account.and_then(|account| account.split_once(':')) {
            Some((_, account)) => write!(f, "forbidden: the service account {account:?}")?,
            None => write!(f, "forbidden: the user {:?}", rule.user)?,
        }
        write!(f, " may not {:?} {:?}", rule.verb, rule.resource)?;
        if let Some(namespace) = &rule.namespace {
            write!(f, " in {namespace:?}")?;
        }
        f.write_str("; deploy/rbac.yaml has the rule")
    }
}

/// What went wrong with the credentials of a kubeconfig. The output of a credential plugin may hold a token, so it is
/// not repeated.
fn auth_text(error: &kube::client::AuthError) -> String {
    match error {
        kube::client::AuthError::AuthExecRun { cmd, out } => {
            format!(
                "the credential plugin {cmd:?} of the kubeconfig failed with {}",
                out.status
            )
        }
        kube::client::AuthError::AuthExecStart(error) => {
            format!("the credential plugin of the kubeconfig cannot be started: {error}")
        }
        kube::client::AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} cannot be read: {error}", path.display())
        }
        _ => "the credentials of the kubeconfig cannot be used".into(),
    }
}

/// The innermost cause says what happened; what is around it says only through how many layers it came.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> ApiError {
        let status = Status::failure(message, "").with_code(code);
        ApiError::classify(kube::Error::Api(status.boxed()), "context \"kind-mcp\"")
    }

    #[test]
    fn a_missing_rule_is_named() {
        let error = api(
            403,
            "deployments.apps \"mcp-time-1\" is forbidden: User \"system:serviceaccount:platform:portolan\" cannot patch \
             resource \"deployments\" in API group \"apps\" in the namespace \"mcp-servers\"",
        );
        assert_eq!(
            error.to_string(),
            "forbidden: the service account \"portolan\" may not \"patch\" \"deployments\" in \"mcp-servers\"; \
             deploy/rbac.yaml has the rule"
        );
        assert_eq!(error.to_failure().kind, FailureKind::Config);
        assert!(!error.is_transient());
    }

    #[test]
    fn a_refusal_by_an_admission_hook_is_shown_as_it_came() {
        let error = api(
            403,
            "admission webhook \"images.example.com\" denied the request: unsigned",
        );
        assert!(error.to_string().ends_with("denied the request: unsigned"), "{error}");
    }

    #[test]
    fn a_quota_is_no_missing_rule() {
        let error = api(
            403,
            "deployments.apps \"a\" is forbidden: exceeded quota: small, requested: count/deployments.apps=1",
        );
        assert_eq!(error.to_failure().kind, FailureKind::Quota);
    }

    #[test]
    fn an_expired_token_says_which_cluster() {
        let error = api(401, "Unauthorized");
        assert!(
            error
                .to_string()
                .contains("context \"kind-mcp\" answers \"Unauthorized\""),
            "{error}"
        );
        assert!(error.into_error("list deployments").is_retryable());
    }

    #[test]
    fn trouble_of_the_server_passes() {
        assert!(
            [429, 500, 503, 504]
                .into_iter()
                .all(|code| api(code, "").is_transient())
        );
        assert!(
            ![400, 401, 403, 404, 409, 422]
                .into_iter()
                .any(|code| api(code, "").is_transient())
        );
    }
}
