//! The Deployment YAML of a server: a Deployment to start from instead of the generated one.
//!
//! What it leaves out is filled in, what must be ours is overwritten, and what would reach the node, other pods' secrets or
//! images that are not allowed is refused: when the server is stored, by [`check`], and again each time it is rendered.
//!
//! Placeholders stand inside of texts: `${env.NAME}` is the plain value of that environment variable, `${portolan.X}` with
//! X one of `deployment_name`, `server_id`, `server_name`, `namespace`, `docker_image`, `secret_name`, `command`,
//! `arguments` and `service_account` is what the generated Deployment would have, and `${secret.NAME}`, as the whole value
//! of an environment variable, refers to the secret that is meant for that variable. They are filled in after the YAML is
//! read, so no value can change its structure.

mod command;
mod parse;
mod placeholder;
mod pod_security;
mod secret_refs;
mod structure;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{ByteString, api::apps::v1::Deployment};
use portolan_core::{Error, Result, ServerSpec};
use serde_json::Value;

use crate::{
    config::KubeConfig,
    render::{self, ImageAllowlist, RenderInput},
};

pub use template::template;

pub(crate) use command::server;

/// The most bytes that a Deployment YAML may have.
pub const MAX_LEN: usize = 64 * 1024;

/// What errors call it.
const FIELD: &str = "deployment yaml";

/// Checks `text` as the Deployment YAML of `server`, with a sample answer to each field, before it is stored.
///
/// Gives what is odd and would be passed over, such as placeholders that stand for nothing. Fails, saying what to do, for
/// everything that [`render`](render::render) would refuse, the server's other options included.
pub fn check(text: &str, server: &ServerSpec, config: &KubeConfig) -> Result<Vec<String>> {
    let mut server = server.clone();
    server.kubernetes.deployment_yaml = Some(text.to_owned());
    render::check(&server, config)
}

/// A Deployment as it was given, with its placeholders filled in.
#[derive(Debug)]
pub(crate) struct ParsedDeployment {
    pub(crate) deployment: Deployment,
    /// What is odd about it.
    pub(crate) warnings: Vec<String>,
}

/// What a given Deployment is held to.
#[derive(Debug)]
pub(crate) struct YamlRules<'a> {
    pub(crate) images: ImageAllowlist<'a>,
    /// The name of the deployment's own Secret, and what is in it.
    pub(crate) own_secret: String,
    pub(crate) own_keys: Option<&'a BTreeMap<String, ByteString>>,
    pub(crate) other_secrets: &'a BTreeSet<String>,
    pub(crate) pull_secrets: Vec<String>,
    pub(crate) service_account_token: bool,
}

/// Reads `text` and fills in its placeholders.
pub(crate) fn read(text: &str, input: &RenderInput<'_>) -> Result<ParsedDeployment> {
    let mut value = parse::value(text)?;
    let mut warnings = Vec::new();
    placeholder::PlaceholderValues::of(input)?.fill(&mut value, &mut warnings)?;
    structure::check(&value)?;
    let deployment = parse::typed(&value)?;
    structure::warn(&deployment, &mut warnings);
    Ok(ParsedDeployment { deployment, warnings })
}

/// Writes a Deployment, or what stands for one.
pub(crate) fn write(value: &impl serde::Serialize) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|error| Error::Backend {
        backend: "YAML",
        action: "write a deployment".into(),
        source: Box::new(error),
    })
}

impl ParsedDeployment {
    /// Fails for what `rules` refuse.
    pub(crate) fn check(&self, rules: &YamlRules<'_>) -> Result<()> {
        // As the API server would be sent it: what is checked is what is applied.
        let value = serde_json::to_value(&self.deployment).map_err(|error| refused(error.to_string()))?;
        let template = &value["spec"]["template"];
        pod_security::check(template, rules)?;
        secret_refs::check(&template["spec"], rules)?;
        images(&template["spec"], rules)
    }
}

/// Checks the images of all containers, and those that are mounted.
fn images(pod: &Value, rules: &YamlRules<'_>) -> Result<()> {
    for image in pod_security::containers(pod).filter_map(|(_, container)| container["image"].as_str()) {
        rules.images.check(image)?;
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        if let Some(image) = volume["image"]["reference"].as_str() {
            rules.images.check(image)?;
        }
    }
    Ok(())
}

/// The YAML is not accepted, because of `problem`.
fn refused(problem: impl Into<String>) -> Error {
    Error::invalid(FIELD, problem)
}
