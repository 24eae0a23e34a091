//! Volumes of the server's container: secret files and writable directories.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount};
use portolan_core::{Error, Result};

use super::{bridge, render_plan::RenderPlan};
use crate::name::secret_file_key;

/// The directory that is always writable.
pub(super) const TMP: &str = "/tmp";
/// The directory of secret files.
const SECRETS: &str = "/secrets";
/// The volume of secret files.
const SECRETS_VOLUME: &str = "portolan-secrets";

/// Returns whether the root file system is read-only.
pub(super) fn is_root_read_only(plan: &RenderPlan<'_>) -> bool {
    plan.input.spec.kubernetes.read_only_root.unwrap_or(true)
}

/// Returns the volumes, and their mounts in the server's container.
pub(super) fn volumes(plan: &RenderPlan<'_>) -> Result<(Vec<Volume>, Vec<VolumeMount>)> {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    let (bridge, bridge_mount) = (bridge::volume(plan), bridge::mount(plan));
    volumes.extend(bridge);
    mounts.extend(bridge_mount);
    for (index, path) in writable(plan)?.into_iter().enumerate() {
        let name = if path == TMP {
            "portolan-tmp".to_owned()
        } else {
            format!("portolan-writable-{index}")
        };
        mounts.push(mount(&name, path, false));
        volumes.push(Volume {
            name,
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
    }
    if let Some(secrets) = secrets(plan) {
        mounts.push(mount(&secrets.name, SECRETS, true));
        volumes.push(secrets);
    }
    Ok((volumes, mounts))
}

fn writable<'p>(plan: &RenderPlan<'p>) -> Result<Vec<&'p str>> {
    let mut paths = vec![TMP];
    for path in &plan.input.spec.kubernetes.writable {
        let is_plain = path.starts_with('/') && path.len() > 1 && !path.contains([':', '\0']) && !path.contains("..");
        if !is_plain || path == SECRETS || path.starts_with("/secrets/") {
            return Err(Error::invalid(
                "writable",
                format!("{path:?} cannot be made writable; use an absolute path without '..' and ':'"),
            ));
        }
        let path = path.trim_end_matches('/');
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Returns the volume of secret files. Only this pod mounts it; any user in the container may read it.
fn secrets(plan: &RenderPlan<'_>) -> Option<Volume> {
    let files = &plan.input.spec.files;
    (!files.is_empty()).then(|| Volume {
        name: SECRETS_VOLUME.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(plan.secret_name()),
            default_mode: Some(0o444),
            items: Some(files.keys().map(|name| file(name)).collect()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    })
}

fn file(name: &str) -> KeyToPath {
    KeyToPath {
        key: secret_file_key(name),
        path: name.into(),
        ..KeyToPath::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
