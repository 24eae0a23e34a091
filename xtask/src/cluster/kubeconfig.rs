//! The users of the API server: a token and a kubeconfig for each.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;

use super::site::{self, ADDRESS, API_PORT, NODE};

const TEMPLATE: &str = include_str!("../../assets/cluster/kubeconfig.yaml");

/// Writes `tokens.csv` for the API server, and `NAME.kubeconfig` for each user.
pub(super) fn make() -> Result<()> {
    let node = format!("system:node:{NODE}");
    let users = [
        ("admin", "admin", "system:masters"),
        ("kube-controller-manager", "system:kube-controller-manager", ""),
        ("kube-scheduler", "system:kube-scheduler", ""),
        ("kube-proxy", "system:kube-proxy", ""),
        ("kubelet", &node, "system:nodes"),
        ("coredns", "portolan:dns", ""),
    ];
    let mut tokens = String::new();
    for (name, user, group) in users {
        let token = token()?;
        tokens.push_str(&format!("{token},{user},{user},\"{group}\"\n"));
        secret(&format!("{name}.kubeconfig"), &kubeconfig(user, &token))?;
    }
    secret("tokens.csv", &tokens)
}

fn kubeconfig(user: &str, token: &str) -> String {
    let text = site::fill_with(
        TEMPLATE,
        &[
            ("server", &format!("https://{ADDRESS}:{API_PORT}")),
            ("user", user),
            ("token", token),
        ],
    );
    site::fill(&text)
}

fn token() -> Result<String> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn secret(name: &str, text: &str) -> Result<()> {
    let path = site::write(name, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}
