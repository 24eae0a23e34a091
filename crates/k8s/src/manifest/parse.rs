//! YAML text to a Deployment: bounded in size and depth, and strict about unknown fields.

use k8s_openapi::api::apps::v1::Deployment;
use portolan_core::Result;
use serde_json::Value;
use serde_saphyr::{Budget, Options, RenderOptions, SnippetMode};

use super::{MAX_LEN, invalid};

/// Parses one YAML document. Size, depth and alias expansion are bounded; duplicate keys are an error.
pub(super) fn value(text: &str) -> Result<Value> {
    if text.len() > MAX_LEN {
        return Err(invalid(format!("has {} bytes; shorten it to {MAX_LEN}", text.len())));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let rendered = error.without_snippet().render_with_options(without_snippets());
        invalid(format!("is not valid YAML: {}", rendered.replace('\n', " ")))
    })
}

/// Deserializes a Deployment and rejects unknown fields.
///
/// The types of `k8s-openapi` ignore unknown fields. A misspelt security setting must not be ignored, so each field of
/// `value` is looked up in the serialized result.
pub(super) fn deployment(value: &Value) -> Result<Deployment> {
    let deployment: Deployment = serde_path_to_error::deserialize(value)
        .map_err(|error| invalid(format!("{}: {}", error.path(), error.inner())))?;
    let known = serde_json::to_value(&deployment).map_err(|error| invalid(error.to_string()))?;
    match unknown_field(value, &known) {
        Some(path) => Err(invalid(format!(
            "{path}: is not a field of a Deployment; correct its name or remove it"
        ))),
        None => Ok(deployment),
    }
}

/// Returns the path of the first field of `given` that is missing in `known`.
fn unknown_field(given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(key, value)| {
            if value.is_null() {
                return None;
            }
            match known.get(key) {
                None => Some(key.clone()),
                Some(known) => unknown_field(value, known).map(|path| join(key, &path)),
            }
        }),
        (Value::Array(given), Value::Array(known)) => {
            given.iter().zip(known).enumerate().find_map(|(index, (value, known))| {
                unknown_field(value, known).map(|path| join(&format!("[{index}]"), &path))
            })
        }
        _ => None,
    }
}

fn join(head: &str, tail: &str) -> String {
    if tail.starts_with('[') {
        format!("{head}{tail}")
    } else {
        format!("{head}.{tail}")
    }
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = 32;
    budget.flow_nesting_limit = 32;
    budget.max_nodes = 10_000;
    budget.max_events = 30_000;
    budget.max_anchors = 100;
    budget.max_aliases = 100;
    budget.max_merge_keys = 100;
    budget.max_documents = 1;
    budget.max_recorded_anchor_events = 30_000;
    budget.max_total_scalar_bytes = 4 * MAX_LEN;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 30_000;
    options.alias_limits.max_replay_stack_depth = 8;
    options.strict_booleans = true;
    options.reject_unsupported_tags = true;
    options
}

fn without_snippets() -> RenderOptions<'static> {
    let mut options = RenderOptions::default();
    options.snippets = SnippetMode::Off;
    options
}
