//! Annotations of managed objects: users, sleep, template hash.
//!
//! The annotations of a running deployment are written by the operations field manager, so that an apply removes none of them.

use aws_lc_rs::digest;
use jiff::Timestamp;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use portolan_core::InstallName;

use crate::{
    api_compat,
    name::{self, hex},
};

/// Set while it is asleep, to the number of replicas before.
pub(crate) const ASLEEP: &str = "portolan.dev/asleep";
/// The time of the last wake-up.
pub(crate) const WOKEN_AT: &str = "portolan.dev/woken-at";
/// The time of the last call that a replica of the host recorded.
pub(crate) const USED_AT: &str = "portolan.dev/used-at";
/// Set while a hard reset is requested or in progress.
pub(crate) const RESET: &str = "portolan.dev/reset";
/// Set while it is being removed, so that other replicas of the host do not create it again.
pub(crate) const REMOVING: &str = "portolan.dev/removing";
/// The hash of the pod template.
const TEMPLATE: &str = "portolan.dev/template";
/// The prefix of the annotation for each user of a shared deployment.
const INSTALL_PREFIX: &str = "install.portolan.dev/";

/// Returns the installs that use a deployment: the one of its label, or all that a shared one records.
pub(crate) fn installs(meta: &ObjectMeta) -> Vec<InstallName> {
    let label = meta.labels.iter().filter_map(|labels| labels.get(name::INSTALL));
    let shared = annotations(meta).filter_map(|(key, _)| key.strip_prefix(INSTALL_PREFIX));
    label
        .map(String::as_str)
        .chain(shared)
        .filter_map(|text| InstallName::parse(text).ok())
        .collect()
}

/// Returns the annotation that records `install` on a shared deployment.
pub(crate) fn user_key(install: &InstallName) -> String {
    format!("{INSTALL_PREFIX}{install}")
}

/// Returns the digest of the objects that were applied last.
pub(crate) fn digest(meta: &ObjectMeta) -> Option<&str> {
    annotation(meta, name::DIGEST)
}

/// Returns the number of replicas before it was scaled to zero, while it is asleep.
pub(crate) fn replicas_before_sleep(meta: &ObjectMeta) -> Option<i32> {
    annotation(meta, ASLEEP).map(|text| text.parse().unwrap_or(1).max(1))
}

/// Returns the time in the annotation `key`.
pub(crate) fn timestamp(meta: &ObjectMeta, key: &str) -> Option<Timestamp> {
    annotation(meta, key)?.parse().ok()
}

/// Returns the template hash of a pod.
pub(crate) fn template_hash(meta: &ObjectMeta) -> Option<&str> {
    annotation(meta, TEMPLATE)
}

/// Sets the hash of a template as its annotation and returns it. It identifies the pods of a spec, whatever revision numbers
/// the cluster assigns.
pub(crate) fn set_template_hash(template: &mut PodTemplateSpec) -> String {
    let text = serde_json::to_vec(&template).unwrap_or_default();
    let hash = hex(&digest::digest(&digest::SHA256, &text).as_ref()[..8]);
    template
        .metadata
        .get_or_insert_default()
        .annotations
        .get_or_insert_default()
        .insert(TEMPLATE.into(), hash.clone());
    hash
}

/// Copies the template hash of `from` to `to`.
pub(crate) fn copy_template_hash(from: &Deployment, to: &mut Deployment) {
    let meta = api_compat::spec(from).and_then(|spec| spec.template.metadata.as_ref());
    let (Some(hash), Some(spec)) = (meta.and_then(template_hash), api_compat::spec_mut(to)) else {
        return;
    };
    let meta = spec.template.metadata.get_or_insert_default();
    meta.annotations
        .get_or_insert_default()
        .insert(TEMPLATE.into(), hash.to_owned());
}

/// Returns the template hash of a Deployment.
pub(crate) fn deployment_template_hash(deployment: &Deployment) -> Option<&str> {
    template_hash(api_compat::spec(deployment)?.template.metadata.as_ref()?)
}

/// Returns whether its removal has begun.
pub(crate) fn is_being_removed(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() || annotation(meta, REMOVING).is_some()
}

pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

fn annotations(meta: &ObjectMeta) -> impl Iterator<Item = (&String, &String)> {
    meta.annotations.iter().flatten()
}
