//! The required parts of a Deployment, and parts without effect.

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_core::Result;
use serde_json::Value;

use super::invalid;
use crate::api_compat;

/// Checks that `value` has the required parts of a Deployment.
pub(super) fn check(value: &Value) -> Result<()> {
    check_field(value, "apiVersion", "apps/v1")?;
    check_field(value, "kind", "Deployment")?;
    for path in [
        &["metadata"][..],
        &["spec"],
        &["spec", "template"],
        &["spec", "template", "spec"],
    ] {
        let found = path.iter().try_fold(value, |value, part| value.get(part));
        if !found.is_some_and(Value::is_object) {
            return Err(invalid(format!("{}: is missing; add it", path.join("."))));
        }
    }
    match value["spec"]["template"]["spec"]["containers"].as_array() {
        Some(containers) if !containers.is_empty() => Ok(()),
        _ => Err(invalid(
            "spec.template.spec.containers: is empty; add the server's container",
        )),
    }
}

fn check_field(value: &Value, key: &str, wanted: &str) -> Result<()> {
    match &value[key] {
        Value::String(text) if text == wanted => Ok(()),
        Value::Null => Err(invalid(format!("{key}: is missing; write {key}: {wanted}"))),
        other => Err(invalid(format!("{key}: is {other}; write {key}: {wanted}"))),
    }
}

/// Adds a warning for each part that the platform overwrites or ignores.
pub(super) fn warn(deployment: &Deployment, warnings: &mut Vec<String>) {
    let spec = api_compat::spec(deployment);
    let pod = spec.map(|spec| &spec.template);
    let labels = |meta: Option<&ObjectMeta>| {
        meta.and_then(|meta| meta.labels.as_ref())
            .is_some_and(|labels| !labels.is_empty())
    };
    if labels(Some(&deployment.metadata)) || labels(pod.and_then(|pod| pod.metadata.as_ref())) {
        warnings.push("labels are replaced, because network policies select by them; use annotations".into());
    }
    if pod
        .and_then(|pod| pod.spec.as_ref())
        .is_some_and(|pod| pod.service_account_name.is_some())
    {
        warnings.push("serviceAccountName is replaced by the server's option service_account".into());
    }
    if spec.is_some_and(|spec| spec.paused == Some(true)) {
        warnings.push("paused is ignored: a paused deployment never becomes ready".into());
    }
}
