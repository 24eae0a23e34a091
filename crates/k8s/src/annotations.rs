//! What we write onto objects beside what they are: who uses them, that they sleep, which template a pod is of.
//!
//! The marks of a running deployment are written by the operating field manager, so that applying a wish takes none back.

use aws_lc_rs::digest;
use jiff::Timestamp;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use portolan_core::InstallName;

use crate::{
    name::{self, hex},
    render::api_compat,
};

/// Asleep, with the number of copies that there were.
pub(crate) const ASLEEP: &str = "portolan.dev/asleep";
/// When it was woken.
pub(crate) const WOKEN_AT: &str = "portolan.dev/woken-at";
/// When it was last used, as far as any replica of the host has told.
pub(crate) const USED_AT: &str = "portolan.dev/used-at";
/// A hard reset is under way: everything is to be deleted and made again.
pub(crate) const RESET: &str = "portolan.dev/reset";
/// It is being removed, so that other replicas of the host do not take it for lost and make it anew.
pub(crate) const REMOVING: &str = "portolan.dev/removing";
/// Which template a pod is of.
const TEMPLATE: &str = "portolan.dev/template";
/// What an annotation for each user of a shared deployment begins with.
const INSTALL_PREFIX: &str = "install.portolan.dev/";

/// The installs that a deployment is for: the one of its label, or all that are written on a shared one.
pub(crate) fn installs(meta: &ObjectMeta) -> Vec<InstallName> {
    let label = meta.labels.iter().filter_map(|labels| labels.get(name::INSTALL));
    let shared = annotations(meta).filter_map(|(key, _)| key.strip_prefix(INSTALL_PREFIX));
    label
        .map(String::as_str)
        .chain(shared)
        .filter_map(|text| InstallName::parse(text).ok())
        .collect()
}

/// The annotation by which `install` uses a shared deployment.
pub(crate) fn user_key(install: &InstallName) -> String {
    format!("{INSTALL_PREFIX}{install}")
}

/// The digest of the wish that was applied last.
pub(crate) fn digest(meta: &ObjectMeta) -> Option<&str> {
    annotation(meta, name::DIGEST)
}

/// How many copies there were before it was sent to sleep.
pub(crate) fn replicas_before_sleep(meta: &ObjectMeta) -> Option<i32> {
    annotation(meta, ASLEEP).map(|text| text.parse().unwrap_or(1).max(1))
}

/// A time that is written on an object.
pub(crate) fn timestamp(meta: &ObjectMeta, mark: &str) -> Option<Timestamp> {
    annotation(meta, mark)?.parse().ok()
}

/// Which template a pod is of.
pub(crate) fn template_hash(meta: &ObjectMeta) -> Option<&str> {
    annotation(meta, TEMPLATE)
}

/// Writes onto a template which one it is, and gives it. Pods are then known as those of a wish, whatever numbers the
/// cluster gives to revisions.
pub(crate) fn set_template_hash(template: &mut PodTemplateSpec) -> String {
    let text = serde_json::to_vec(&template).unwrap_or_default();
    let mark = hex(&digest::digest(&digest::SHA256, &text).as_ref()[..8]);
    template
        .metadata
        .get_or_insert_default()
        .annotations
        .get_or_insert_default()
        .insert(TEMPLATE.into(), mark.clone());
    mark
}

/// Writes onto the template of `to` what [`set_template_hash`] wrote onto that of `from`.
pub(crate) fn copy_template_hash(from: &Deployment, to: &mut Deployment) {
    let meta = api_compat::spec(from).and_then(|spec| spec.template.metadata.as_ref());
    let (Some(mark), Some(spec)) = (meta.and_then(template_hash), api_compat::spec_mut(to)) else {
        return;
    };
    let meta = spec.template.metadata.get_or_insert_default();
    meta.annotations
        .get_or_insert_default()
        .insert(TEMPLATE.into(), mark.to_owned());
}

/// The template that a deployment makes pods of.
pub(crate) fn deployment_template_hash(deployment: &Deployment) -> Option<&str> {
    template_hash(api_compat::spec(deployment)?.template.metadata.as_ref()?)
}

/// Whether somebody has begun to remove it.
pub(crate) fn is_being_removed(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() || annotation(meta, REMOVING).is_some()
}

pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

fn annotations(meta: &ObjectMeta) -> impl Iterator<Item = (&String, &String)> {
    meta.annotations.iter().flatten()
}
