//! From text to a Deployment, within bounds, with nothing passed over.

use k8s_openapi::api::apps::v1::Deployment;
use portolan_core::Result;
use serde_json::Value;
use serde_saphyr::{Budget, Options, RenderOptions, SnippetMode};

use super::{MAX_LEN, refused};

/// Reads one document. Its size, its depth and what its aliases unfold to are bounded; a key that is there twice is an
/// error.
pub(super) fn value(text: &str) -> Result<Value> {
    if text.len() > MAX_LEN {
        return Err(refused(format!("has {} bytes; at most {MAX_LEN} are read", text.len())));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let rendered = error.without_snippet().render_with_options(quiet());
        refused(format!("is no YAML that can be read: {}", rendered.replace('\n', " ")))
    })
}

/// Makes a Deployment of it. Kubernetes' own types pass over what they do not know; a typing error in a setting that
/// protects something must not pass, so each part is looked for in what was understood.
pub(super) fn typed(value: &Value) -> Result<Deployment> {
    let deployment: Deployment = serde_path_to_error::deserialize(value)
        .map_err(|error| refused(format!("{}: {}", error.path(), error.inner())))?;
    let understood = serde_json::to_value(&deployment).map_err(|error| refused(error.to_string()))?;
    match unknown(value, &understood) {
        Some(path) => Err(refused(format!(
            "{path}: is no field of a Deployment; correct its name, or take it out"
        ))),
        None => Ok(deployment),
    }
}

/// The path of the first part of `given` that is missing in `understood`.
fn unknown(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(key, value)| {
            if value.is_null() {
                return None;
            }
            match understood.get(key) {
                None => Some(key.clone()),
                Some(there) => unknown(value, there).map(|path| join(key, &path)),
            }
        }),
        (Value::Array(given), Value::Array(understood)) => given
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (value, there))| unknown(value, there).map(|path| join(&format!("[{index}]"), &path))),
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

fn quiet() -> RenderOptions<'static> {
    let mut options = RenderOptions::default();
    options.snippets = SnippetMode::Off;
    options
}
