//! The Deployment YAML of a server: a Deployment to start from instead of the generated one.
//!
//! The runtime fills in what it leaves out, overwrites what must be the platform's (names, labels, the service account, the
//! security context), and refuses what reaches the node, other pods' secrets, or images that are not allowed: when the server
//! is stored, by [`check`], and again at each rendering.
//!
//! Placeholders stand inside strings:
//!
//! | placeholder | value |
//! | --- | --- |
//! | `${env.NAME}` | the plain value of the environment variable `NAME` |
//! | `${secret.NAME}` | a reference to the secret value of `NAME`; only as the whole value of an environment variable |
//! | `${portolan.deployment_name}`, `…server_id`, `…server_name`, `…namespace`, `…docker_image`, `…secret_name`, `…command`, `…arguments`, `…service_account` | the value that the generated Deployment has |
//!
//! They are resolved after the YAML is parsed, so no value can change its structure.

mod template;

use portolan_core::{Result, ServerSpec};

use crate::{config::KubeConfig, manifest, render};

pub use template::template;

/// The largest accepted Deployment YAML, in bytes.
pub const MAX_LEN: usize = manifest::MAX_LEN;

/// Checks `text` as the Deployment YAML of `server`, with a sample answer to each field, before it is stored.
///
/// Returns one warning for each part that has no effect, such as a placeholder without a value.
///
/// ```
/// use portolan_core::ServerSpec;
/// use portolan_k8s::{KubeConfig, yaml};
///
/// let server = ServerSpec::image("time", "mcp/time")?;
/// let config = KubeConfig::in_namespace("mcp-servers");
/// let text = yaml::template(&server, &config)?;
/// let warnings = yaml::check(&text, &server, &config)?;
/// assert_eq!(warnings, ["serviceAccountName is replaced by the server's option service_account"]);
///
/// let privileged = text.replace("- name: mcp-server", "- name: mcp-server\n          securityContext: { privileged: true }");
/// assert!(yaml::check(&privileged, &server, &config).is_err());
/// # Ok::<(), portolan_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Invalid`](portolan_core::Error::Invalid) for everything that [`render`](render::render) would refuse, the
/// server's other options included; the message names the path and the remedy.
pub fn check(text: &str, server: &ServerSpec, config: &KubeConfig) -> Result<Vec<String>> {
    let mut server = server.clone();
    server.kubernetes.deployment_yaml = Some(text.to_owned());
    render::check(&server, config)
}
