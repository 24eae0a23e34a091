//! Deployment manifests in YAML, as a server's author writes them: parsed, their placeholders resolved, checked against the
//! rules of the platform. `render` merges the result with the generated Deployment.

mod command;
mod image_allowlist;
mod parse;
mod placeholder;
mod pod_security;
mod secret_refs;
mod structure;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{ByteString, api::apps::v1::Deployment};
use portolan_core::{Error, InstallName, Result, RunSpec};
use serde_json::Value;

pub(crate) use command::{ContainerCommand, server_index};
pub(crate) use image_allowlist::ImageAllowlist;

/// The largest accepted manifest, in bytes.
pub(crate) const MAX_LEN: usize = 64 * 1024;

/// The name of the field in errors.
const FIELD: &str = "deployment yaml";

/// The values that placeholders of a manifest refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceholderInput<'a> {
    pub(crate) install: &'a InstallName,
    pub(crate) spec: &'a RunSpec,
    pub(crate) base_image: &'a String,
    pub(crate) namespace: &'a str,
}

/// A manifest after parsing, with its placeholders resolved.
#[derive(Debug)]
pub(crate) struct ParsedManifest {
    pub(crate) deployment: Deployment,
    /// One line for each part that has no effect.
    pub(crate) warnings: Vec<String>,
}

/// What a manifest may refer to.
#[derive(Debug)]
pub(crate) struct ManifestRules<'a> {
    pub(crate) images: ImageAllowlist<'a>,
    /// The name of the deployment's own Secret.
    pub(crate) own_secret: String,
    /// The contents of the deployment's own Secret.
    pub(crate) own_keys: Option<&'a BTreeMap<String, ByteString>>,
    pub(crate) other_secrets: &'a BTreeSet<String>,
    pub(crate) pull_secrets: Vec<String>,
    pub(crate) service_account_token: bool,
}

/// Parses `text` and resolves its placeholders.
///
/// # Errors
///
/// [`Error::Invalid`] if `text` is no Deployment, has an unknown field, or places a secret where it could be read.
pub(crate) fn parse(text: &str, input: PlaceholderInput<'_>) -> Result<ParsedManifest> {
    let mut value = parse::value(text)?;
    let mut warnings = Vec::new();
    placeholder::PlaceholderValues::new(input)?.fill(&mut value, &mut warnings)?;
    structure::check(&value)?;
    let deployment = parse::deployment(&value)?;
    structure::warn(&deployment, &mut warnings);
    Ok(ParsedManifest { deployment, warnings })
}

/// Writes `value` as YAML.
///
/// # Errors
///
/// [`Error::Backend`] if it cannot be serialized.
pub(crate) fn write(value: &impl serde::Serialize) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|error| Error::backend("YAML", "write a deployment", error))
}

impl ParsedManifest {
    /// Checks the pod template against `rules`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with the path of the first setting that is refused, and what to do about it.
    pub(crate) fn check(&self, rules: &ManifestRules<'_>) -> Result<()> {
        // Serialized as for the API server: what is checked is what is applied.
        let value = serde_json::to_value(&self.deployment).map_err(|error| invalid(error.to_string()))?;
        let template = &value["spec"]["template"];
        pod_security::check(template, rules)?;
        secret_refs::check(&template["spec"], rules)?;
        check_images(&template["spec"], rules)
    }
}

/// Checks the images of all containers and of all image volumes.
fn check_images(pod: &Value, rules: &ManifestRules<'_>) -> Result<()> {
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

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid(FIELD, problem)
}
