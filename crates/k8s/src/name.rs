//! Names and labels: from an install to its objects, and from an object back to its install.
//!
//! Names are for people and for addresses. What an object belongs to is told by its labels alone, which hold the whole
//! name of the install; so a name may change from release to release, and a listing finds the objects all the same.

use std::{collections::BTreeMap, fmt, fmt::Write};

use aws_lc_rs::digest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_core::{InstallName, Owner, RunSpec, ServerName, TeamId};

/// The name of the one container that the server runs in.
pub const CONTAINER: &str = "mcp-server";

/// The label that says who applies an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that says what kind of program a pod is: `mcp-server` on ours.
pub const NAME: &str = "app.kubernetes.io/name";
/// The label with the install's whole name.
pub const INSTALL: &str = "portolan.dev/install";
/// The label with the server's name, on what all installs of that server share.
pub const SHARED: &str = "portolan.dev/shared";
/// The label with the server's name.
pub const SERVER: &str = "portolan.dev/server";
/// The label with the kind of owner: `user`, `team` or `org`.
pub const OWNER_KIND: &str = "portolan.dev/owner-kind";
/// The label with the team, as [`label_value`] writes it.
pub const TEAM: &str = "portolan.dev/team";
/// The label with the person, always as a digest.
pub const USER: &str = "portolan.dev/user";
/// The label with the kind of an object that no single install owns: `pull-secret` or `baseline`.
pub const KIND: &str = "portolan.dev/kind";
/// The annotation with the digest of the wish.
pub const DIGEST: &str = "portolan.dev/digest";
/// The annotation of pods with a keyed digest of the secrets that they were started with.
pub const SECRET_DIGEST: &str = "portolan.dev/secret-digest";
/// The annotation of pods with the time of the last restart that was asked for.
pub const RESTARTED_AT: &str = "portolan.dev/restarted-at";
/// What all our annotations and labels begin with.
pub const PREFIX: &str = "portolan.dev/";

/// What one Deployment, with its Service, Secret and policy, is there for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeploymentKey {
    /// One install.
    Install(InstallName),
    /// All installs of a multi-tenant server.
    Shared(ServerName),
}

impl DeploymentKey {
    /// What the install `name` runs in.
    pub fn of(name: &InstallName, spec: &RunSpec) -> Self {
        if spec.kubernetes.multitenant {
            Self::Shared(spec.server.clone())
        } else {
            Self::Install(*name)
        }
    }

    /// What an object belongs to, by its labels. `None` for what `manager` does not apply, and for what no single
    /// deployment owns.
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

    /// The name of its Deployment and its Service: `mcp-<server>-<the last 12 digits of the install>`, at most 57
    /// characters. The last digits, because the first ones tell the time: two installs of a minute share them.
    pub fn deployment_name(&self, server: &ServerName) -> String {
        match self {
            Self::Install(name) => {
                let id = name.to_string();
                format!("mcp-{server}-{}", id.rsplit('-').next().unwrap_or(&id))
            }
            Self::Shared(server) => format!("mcp-{server}-shared"),
        }
    }

    /// The labels that choose its pods. They never change: a Deployment's selector cannot.
    pub fn selector(&self, manager: &str) -> BTreeMap<String, String> {
        let (key, value) = self.label();
        [(MANAGED_BY.into(), manager.into()), (key.into(), value)].into()
    }

    /// The same, as a query.
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

/// What people call it, in logs.
impl fmt::Display for DeploymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(name) => write!(f, "install {name}"),
            Self::Shared(server) => write!(f, "shared server {server}"),
        }
    }
}

/// The name of a deployment's Secret.
pub fn secret(deployment: &str) -> String {
    format!("{deployment}-secrets")
}

/// The name of a deployment's network policy.
pub fn policy(deployment: &str) -> String {
    format!("mcp-net-{deployment}")
}

/// The name of the network policy that keeps everything of `manager` from everything else.
pub fn baseline(manager: &str) -> String {
    format!("mcp-baseline-{manager}")
}

/// The query for everything that `manager` applies.
pub fn managed(manager: &str) -> String {
    format!("{MANAGED_BY}={manager}")
}

/// The labels of an owner.
pub fn owner_labels(owner: &Owner) -> BTreeMap<String, String> {
    let kind = |kind: &str| (OWNER_KIND.to_owned(), kind.to_owned());
    match owner {
        Owner::Personal(user) => [kind("user"), (USER.into(), digested(user.as_str()))].into(),
        Owner::Team(team) => [kind("team"), (TEAM.into(), team_label(team))].into(),
        Owner::Org => [kind("org")].into(),
    }
}

/// The value of the label [`TEAM`].
pub fn team_label(team: &TeamId) -> String {
    label_value(team.as_str())
}

/// `text` as the value of a label: itself where it fits, else `h-` and 32 digits of its SHA-256.
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

/// Bytes as hexadecimal digits.
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
    fn a_label_value_is_the_text_where_it_fits_and_never_looks_like_anothers_digest() {
        assert_eq!(label_value("web"), "web");
        for odd in ["", "-a", "a b", "ä", &"x".repeat(64)] {
            assert!(label_value(odd).starts_with("h-"), "{odd}");
        }
        let digest = label_value("a b");
        assert_ne!(label_value(&digest), digest);
    }

    #[test]
    fn installs_of_one_minute_have_names_of_their_own() {
        let server = ServerName::parse("x".repeat(40)).expect("a name");
        let [a, b] = [
            "01935a5a-5a5a-7000-8000-000000000001",
            "01935a5a-5a5a-7000-8000-000000000002",
        ]
        .map(|id| DeploymentKey::Install(InstallName::parse(id).expect("an id")).deployment_name(&server));
        assert_ne!(a, b);
        assert!(a.len() <= 57, "{a}");
    }
}
