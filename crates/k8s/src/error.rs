//! Errors of calls to the API server, classified by what can be done about them.

use std::{fmt, time::Duration};

use portolan_core::{Error, Failure, FailureKind};

/// The file with the permissions of the runtime.
pub(crate) const RUNTIME_RULES: &str = "deploy/rbac.yaml";

/// The error of a call to the API server.
///
/// `Display` is one line for operators. It holds no secret: request bodies are never part of it.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The object does not exist.
    NotFound(String),
    /// The namespace does not exist.
    NamespaceNotFound(String),
    /// The object exists already, or was changed since it was read.
    Conflict(String),
    /// The service account lacks a permission, or an admission webhook denied the request.
    Forbidden(Forbidden),
    /// A quota is exceeded.
    Quota(String),
    /// The request is invalid; a retry would fail too.
    Rejected(String),
    /// The token or certificate is rejected.
    Unauthorized {
        /// The name of the cluster, such as the context of the kubeconfig.
        cluster: String,
    },
    /// The server is overloaded or has an internal error.
    ServerBusy {
        /// The message of the server.
        message: String,
        /// The delay that the server requests.
        retry_after: Option<Duration>,
    },
    /// No connection or no response.
    Unreachable {
        /// The name of the cluster, such as the context of the kubeconfig.
        cluster: String,
        /// The cause.
        why: String,
    },
}

/// A denied request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    message: String,
    rule: Option<Box<Rule>>,
    /// The file with the rules of this account.
    rules_file: &'static str,
}

/// The missing permission.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    user: String,
    verb: String,
    resource: String,
    namespace: Option<String>,
}

impl ApiError {
    /// Classifies the error of a call to `cluster`.
    pub(crate) fn classify(error: kube::Error, cluster: &str) -> Self {
        let cluster = || cluster.to_owned();
        match error {
            kube::Error::Api(status) => Self::from_status(&status, cluster()),
            kube::Error::Auth(error) => Self::Unreachable {
                cluster: cluster(),
                why: auth_text(&error),
            },
            kube::Error::SerdeError(_) => Self::ServerBusy {
                message: "its response is not valid".into(),
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

    /// Creates the error of a call to `cluster` that timed out.
    pub(crate) fn timed_out(cluster: &str, after: Duration) -> Self {
        Self::Unreachable {
            cluster: cluster.to_owned(),
            why: format!("no response within {} s", after.as_secs().max(1)),
        }
    }

    /// Names the file with the rules, where it is another than that of the runtime.
    pub(crate) fn with_rules_file(mut self, file: &'static str) -> Self {
        if let Self::Forbidden(forbidden) = &mut self {
            forbidden.rules_file = file;
        }
        self
    }

    /// Returns whether a retry may succeed soon.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::ServerBusy { .. } | Self::Unreachable { .. })
    }

    /// Returns whether the cluster did not process the call, so that nothing is known about the object.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(
            self,
            Self::ServerBusy { .. } | Self::Unreachable { .. } | Self::Unauthorized { .. }
        )
    }

    /// Converts it into the error of the runtime contract; `action` names what failed.
    pub(crate) fn into_error(self, action: impl Into<String>) -> Error {
        let backend = "Kubernetes";
        match self {
            Self::Unreachable { .. } | Self::ServerBusy { .. } | Self::Unauthorized { .. } => {
                Error::unavailable(backend, self)
            }
            other => Error::backend(backend, action, other),
        }
    }

    /// Converts it into the failure of a deployment.
    pub(crate) fn to_failure(&self) -> Failure {
        match self {
            Self::Quota(_) => Failure::new(FailureKind::Quota, self.to_string())
                .remedy("raise the quota of the namespace, or remove unused servers"),
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
            Self::Rejected(message) => write!(f, "the API server rejected the request: {message}"),
            Self::NamespaceNotFound(name) => write!(f, "the namespace {name:?} does not exist"),
            Self::Forbidden(forbidden) => forbidden.fmt(f),
            Self::Unauthorized { cluster } => write!(
                f,
                "cannot reach Kubernetes: {cluster} answers \"Unauthorized\": the token or certificate has expired or is rejected; renew it"
            ),
            Self::ServerBusy { message, .. } => write!(f, "the API server is busy: {message}"),
            Self::Unreachable { cluster, why } => write!(f, "cannot reach Kubernetes: {cluster}: {why}"),
        }
    }
}

impl std::error::Error for ApiError {}

impl Forbidden {
    fn read(message: String) -> Self {
        let rule = Rule::read(&message).map(Box::new);
        let rules_file = RUNTIME_RULES;
        Self {
            message,
            rule,
            rules_file,
        }
    }
}

impl Rule {
    /// Parses `… User "U" cannot V resource "R" in API group "G" in the namespace "N"`: the API server reports the permission
    /// in no other form. Other messages are shown unchanged.
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
        write!(f, "; {} has the rule", self.rules_file)
    }
}

/// Describes an error of the credentials of a kubeconfig, without the output of credential plugins, which may hold a token.
fn auth_text(error: &kube::client::AuthError) -> String {
    match error {
        kube::client::AuthError::AuthExecRun { cmd, out } => {
            format!(
                "the credential plugin {cmd:?} of the kubeconfig failed with {}",
                out.status
            )
        }
        kube::client::AuthError::AuthExecStart(error) => {
            format!("the credential plugin of the kubeconfig did not start: {error}")
        }
        kube::client::AuthError::ReadTokenFile(error, path) => {
            format!("cannot read the token file {}: {error}", path.display())
        }
        _ => "the credentials of the kubeconfig are not usable".into(),
    }
}

/// Returns the innermost cause: the outer ones only name the layers it passed.
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
    fn missing_permission_is_named() {
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
    fn admission_denial_is_unchanged() {
        let error = api(
            403,
            "admission webhook \"images.example.com\" denied the request: unsigned",
        );
        assert!(error.to_string().ends_with("denied the request: unsigned"), "{error}");
    }

    #[test]
    fn quota_is_not_forbidden() {
        let error = api(
            403,
            "deployments.apps \"a\" is forbidden: exceeded quota: small, requested: count/deployments.apps=1",
        );
        assert_eq!(error.to_failure().kind, FailureKind::Quota);
    }

    #[test]
    fn unauthorized_names_the_cluster() {
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
    fn transient_status_codes() {
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
