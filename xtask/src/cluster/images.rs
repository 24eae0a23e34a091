//! The images of the tests, made from what this machine has, without a registry.

mod archive;
mod busybox;
mod node;
mod pause;
mod program;
mod python;
mod root;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// What every pod's namespaces are held by.
pub(super) const PAUSE: &str = "docker.io/local/portolan-pause:1";

/// An image in a docker-archive.
#[derive(Debug)]
pub(super) struct Image {
    /// As a pod names it.
    pub(super) name: String,
    /// The file.
    pub(super) archive: PathBuf,
    /// Changes with the content.
    pub(super) id: String,
}

/// The image that must be there before any pod is.
pub(super) fn pause() -> Result<Image> {
    pause::image().context("cannot make the pause image")
}

type Make = fn() -> Result<Image>;

/// The images that the tests run, each with what it is. Those from packages are kept in the cache; our own
/// programs are built anew.
const ALL: &[(&str, Make)] = &[
    ("busybox", busybox::image),
    ("Node.js", node::image),
    ("Python", python::image),
    ("HTTP server", program::http_server),
    ("bridge", program::bridge),
];

/// Makes each in turn and hands it on.
pub(super) fn build(mut done: impl FnMut(&Image) -> Result<()>) -> Result<()> {
    for (what, image) in ALL {
        let image = image().with_context(|| format!("cannot make the {what} image"))?;
        done(&image)?;
    }
    Ok(())
}
