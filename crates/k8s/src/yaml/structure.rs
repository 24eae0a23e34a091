//! What makes a YAML a Deployment.

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_core::Result;
use serde_json::Value;

use crate::render::spec;

use super::refused;

/// Fails unless all parts are there that a Deployment cannot do without.
pub(super) fn check(value: &Value) -> Result<()> {
    is(value, "apiVersion", "apps/v1")?;
    is(value, "kind", "Deployment")?;
    for path in [
        &["metadata"][..],
        &["spec"],
        &["spec", "template"],
        &["spec", "template", "spec"],
    ] {
        let there = path.iter().try_fold(value, |value, part| value.get(part));
        if !there.is_some_and(Value::is_object) {
            return Err(refused(format!("{}: is missing; add it", path.join("."))));
        }
    }
    match value["spec"]["template"]["spec"]["containers"].as_array() {
        Some(containers) if !containers.is_empty() => Ok(()),
        _ => Err(refused(
            "spec.template.spec.containers: is empty; add the server's container",
        )),
    }
}

fn is(value: &Value, key: &str, wanted: &str) -> Result<()> {
    match &value[key] {
        Value::String(text) if text == wanted => Ok(()),
        Value::Null => Err(refused(format!("{key}: is missing; write {key}: {wanted}"))),
        other => Err(refused(format!("{key}: is {other}; write {key}: {wanted}"))),
    }
}

/// Names what will be overwritten, where that may surprise.
pub(super) fn warn(deployment: &Deployment, warnings: &mut Vec<String>) {
    let spec = spec(deployment);
    let pod = spec.map(|spec| &spec.template);
    let labels = |meta: Option<&ObjectMeta>| {
        meta.and_then(|meta| meta.labels.as_ref())
            .is_some_and(|labels| !labels.is_empty())
    };
    if labels(Some(&deployment.metadata)) || labels(pod.and_then(|pod| pod.metadata.as_ref())) {
        warnings.push("labels are replaced: network policies go by them; use annotations".into());
    }
    if pod
        .and_then(|pod| pod.spec.as_ref())
        .is_some_and(|pod| pod.service_account_name.is_some())
    {
        warnings.push("serviceAccountName is replaced by the server's option service_account".into());
    }
    if spec.is_some_and(|spec| spec.paused == Some(true)) {
        warnings.push("paused is passed over: the deployment would never be ready".into());
    }
}
