//! Docker archives: layers and metadata in one tar file.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::Image;
use crate::exec;

/// The default user of images, an id that no system uses.
const USER: &str = "65532:65532";

/// The entry point of an image.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) entrypoint: &'a [&'a str],
    pub(super) command: &'a [&'a str],
    pub(super) folder: &'a str,
}

/// Writes `image.tar` in `folder`, with `root` as its one layer. The same content gives the same bytes.
pub(super) fn write(name: &str, start: &Start<'_>, root: &Path, folder: &Path) -> Result<()> {
    let parts = folder.join("parts");
    fs::create_dir_all(&parts)?;
    tar(root, &["."], &parts.join("layer.tar"))?;
    let layer = digest(&parts.join("layer.tar"))?;
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": USER,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"],
            "Entrypoint": start.entrypoint,
            "Cmd": start.command,
            "WorkingDir": start.folder,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
    });
    fs::write(parts.join("config.json"), config.to_string())?;
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    fs::write(parts.join("manifest.json"), manifest.to_string())?;
    let id = digest(&parts.join("config.json"))?;
    tar(
        &parts,
        &["manifest.json", "config.json", "layer.tar"],
        &folder.join("image.tar"),
    )?;
    fs::remove_dir_all(parts)?;
    fs::remove_dir_all(root)?;
    Ok(fs::write(folder.join("id"), id)?)
}

/// Returns the image in `folder`.
pub(super) fn read(name: &str, folder: &Path) -> Result<Image> {
    Ok(Image {
        name: name.to_owned(),
        archive: folder.join("image.tar"),
        id: fs::read_to_string(folder.join("id"))?,
    })
}

fn tar(root: &Path, members: &[&str], archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args([
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=gnu",
    ]);
    command
        .arg("--create")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(root);
    exec::output(command.args(members)).map(drop)
}

fn digest(file: &Path) -> Result<String> {
    let output = exec::output(Command::new("sha256sum").arg(file))?;
    let digest = output.split_whitespace().next().context("sha256sum printed nothing")?;
    Ok(digest.trim_start_matches('\\').to_owned())
}

/// Returns the architecture of the machine, as container images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
