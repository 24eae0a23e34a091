//! Names and labels of the objects of an install.
//!
//! Names are for people and for DNS. The labels alone identify the owner of an object, and contain the full name of the install;
//! so the names may change between releases, and objects are found nevertheless.

use std::{collections::BTreeMap, fmt, fmt::Write};

use aws_lc_rs::digest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_core::{InstallName, Owner, RunSpec, ServerName, TeamId};

/// The name of the server's container.
pub const CONTAINER: &str = "mcp-server";

/// The label with the field manager that applies an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label with the kind of program of a pod: `mcp-server`.
pub const NAME: &str = "app.kubernetes.io/name";
/// The label with the full name of the install.
pub const INSTALL: &str = "portolan.dev/install";
/// The label with the server's name, on objects that all installs of the server share.
pub const SHARED: &str = "portolan.dev/shared";
/// The label with the server's name.
pub const SERVER: &str = "portolan.dev/server";
/// The label with the kind of owner: `user`, `team` or `org`.
pub const OWNER_KIND: &str = "portolan.dev/owner-kind";
/// The label with the team, as [`label_value`] writes it.
pub const TEAM: &str = "portolan.dev/team";
/// The label with the user, always as a digest.
pub const USER: &str = "portolan.dev/user";
/// The label with the kind of an object that no single install owns: `pull-secret` or `baseline`.
pub const KIND: &str = "portolan.dev/kind";
/// The annotation with the digest of the rendered objects.
pub const DIGEST: &str = "portolan.dev/digest";
/// The annotation of pods with a keyed digest of their secrets.
pub const SECRET_DIGEST: &str = "portolan.dev/secret-digest";
/// The annotation of pods with the time of the last requested restart.
pub const RESTARTED_AT: &str = "portolan.dev/restarted-at";
/// The prefix of all labels and annotations of Portolan.
pub const PREFIX: &str = "portolan.dev/";

/// Identifies a deployment: one install, or all installs of a multi-tenant server.
///
/// ```
/// use portolan_core::ServerName;
/// use portolan_k8s::name::DeploymentKey;
///
/// let server = ServerName::parse("time")?;
/// let key = DeploymentKey::Shared(server.clone());
/// assert_eq!(key.deployment_name(&server), "mcp-time-shared");
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeploymentKey {
    /// One install.
    Install(InstallName),
    /// All installs of a multi-tenant server.
    Shared(ServerName),
}

impl DeploymentKey {
    /// Returns the key of the deployment that the install `name` runs in.
    pub fn of(name: &InstallName, spec: &RunSpec) -> Self {
        if spec.kubernetes.multitenant {
            Self::Shared(spec.server.clone())
        } else {
            Self::Install(*name)
        }
    }

    /// Reads the key from the labels of an object. `None` if `manager` does not apply the object, or if no single deployment
    /// owns it.
    pub fn of_object(meta: &ObjectMeta, manager: &str) -> Option<Self> {
        let labels = meta.labels.as_ref()?;
        if labels.get(MANAGED_BY)? != manager {
            return None;
        }
        match (labels.get(INSTALL), labels.get(SHARED)) {
            (Some(install), None) => InstallName::parse(install).ok().map(Self::Install),
            (None, Some(server)) => ServerName::parse(server).ok().map(Self::Shared),
            _ => None,
        }
    }

    /// Returns the name of its Deployment and Service: `mcp-<server>-<last 12 digits of the install>`, at most 57 characters.
    /// The first digits encode the time, so two installs of the same minute share them.
    pub fn deployment_name(&self, server: &ServerName) -> String {
        match self {
            Self::Install(name) => {
                let id = name.to_string();
                format!("mcp-{server}-{}", id.rsplit('-').next().unwrap_or(&id))
            }
            Self::Shared(server) => format!("mcp-{server}-shared"),
        }
    }

    /// Returns the labels that select its pods. They never change, because a Deployment's selector is immutable.
    pub fn selector(&self, manager: &str) -> BTreeMap<String, String> {
        let (key, value) = self.label();
        [(MANAGED_BY.into(), manager.into()), (key.into(), value)].into()
    }

    /// Returns the labels that select its pods, as a label selector.
    pub fn label_selector(&self, manager: &str) -> String {
        let (key, value) = self.label();
        format!("{MANAGED_BY}={manager},{key}={value}")
    }

    fn label(&self) -> (&'static str, String) {
        match self {
            Self::Install(name) => (INSTALL, name.to_string()),
            Self::Shared(server) => (SHARED, server.to_string()),
        }
    }
}

/// Formats the key for logs.
impl fmt::Display for DeploymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(name) => write!(f, "install {name}"),
            Self::Shared(server) => write!(f, "shared server {server}"),
        }
    }
}

/// Returns the name of a deployment's Secret.
pub fn secret(deployment: &str) -> String {
    format!("{deployment}-secrets")
}

/// Returns the name of a deployment's network policy.
pub fn policy(deployment: &str) -> String {
    format!("mcp-net-{deployment}")
}

/// Returns the name of the network policy that denies all traffic of the pods of `manager`.
pub fn baseline(manager: &str) -> String {
    format!("mcp-baseline-{manager}")
}

/// Returns the label selector of all objects that `manager` applies.
pub fn managed(manager: &str) -> String {
    format!("{MANAGED_BY}={manager}")
}

/// Returns the labels of an owner.
pub fn owner_labels(owner: &Owner) -> BTreeMap<String, String> {
    let kind = |kind: &str| (OWNER_KIND.to_owned(), kind.to_owned());
    match owner {
        Owner::Personal(user) => [kind("user"), (USER.into(), digested(user.as_str()))].into(),
        Owner::Team(team) => [kind("team"), (TEAM.into(), team_label(team))].into(),
        Owner::Org => [kind("org")].into(),
    }
}

/// Returns the value of the label [`TEAM`].
pub fn team_label(team: &TeamId) -> String {
    label_value(team.as_str())
}

/// Returns `text` as a label value: unchanged if it is valid, else `h-` and 32 hex digits of its SHA-256.
pub fn label_value(text: &str) -> String {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let fits = bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let is_digest = text.len() == 34 && text.starts_with("h-");
    if fits && !is_digest {
        text.to_owned()
    } else {
        digested(text)
    }
}

fn digested(text: &str) -> String {
    format!(
        "h-{}",
        hex(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16])
    )
}

/// Returns the key of a variable in the deployment's Secret. An alphanumeric name is its own key, so that a Deployment YAML can
/// refer to it; no other key is alphanumeric.
pub(crate) fn secret_env_key(name: &str) -> String {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_plain {
        name.to_owned()
    } else {
        format!("env.{}", secret_key(name))
    }
}

/// Returns the key of a file in the deployment's Secret.
pub(crate) fn secret_file_key(name: &str) -> String {
    format!("file.{}", secret_key(name))
}

/// Escapes a name as a key of a Secret, which may contain `A-Z a-z 0-9 - _ .`: other bytes and the dot become `.XX`.
fn secret_key(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push('.');
            out.push_str(&hex(&[byte]));
        }
        out
    })
}

/// Formats bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_never_collide_with_digests() {
        assert_eq!(label_value("web"), "web");
        for odd in ["", "-a", "a b", "ä", &"x".repeat(64)] {
            assert!(label_value(odd).starts_with("h-"), "{odd}");
        }
        let digest = label_value("a b");
        assert_ne!(label_value(&digest), digest);
    }

    #[test]
    fn deployment_names_are_unique() {
        let server = ServerName::parse("x".repeat(40)).expect("a name");
        let [a, b] = [
            "01935a5a-5a5a-7000-8000-000000000001",
            "01935a5a-5a5a-7000-8000-000000000002",
        ]
        .map(|id| DeploymentKey::Install(InstallName::parse(id).expect("an id")).deployment_name(&server));
        assert_ne!(a, b);
        assert!(a.len() <= 57, "{a}");
    }

    #[test]
    fn secret_keys_are_unique() {
        let env = ["A", "A.B", "A-B", "env.A", "file.A", "bridge-token", "A.2eB", "ä"].map(secret_env_key);
        let files = ["A", "A.B", "A-B", "bridge-token", "A.2eB", "ä"].map(secret_file_key);
        let all: std::collections::BTreeSet<_> = env
            .iter()
            .chain(&files)
            .cloned()
            .chain(["bridge-token".into()])
            .collect();
        assert_eq!(all.len(), env.len() + files.len() + 1, "{all:?}");
        let fits = |key: &String| {
            key.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        assert!(all.iter().all(fits), "{all:?}");
    }
}
