//! The images of the tests, built from programs of this machine, without a registry.

mod archive;
mod busybox;
mod node;
mod pause;
mod program;
mod python;
mod root;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The image of the pause container.
pub(super) const PAUSE: &str = "docker.io/local/portolan-pause:1";

/// An image in a docker-archive.
#[derive(Debug)]
pub(super) struct Image {
    /// The name for pods.
    pub(super) name: String,
    /// The archive.
    pub(super) archive: PathBuf,
    /// A digest of the content.
    pub(super) id: String,
}

/// Returns the image that every pod needs.
pub(super) fn pause() -> Result<Image> {
    pause::image().context("cannot make the pause image")
}

type Make = fn() -> Result<Image>;

/// The images of the tests, each with a description. Images of packages are cached; those of own
/// programs are rebuilt.
const ALL: &[(&str, Make)] = &[
    ("busybox", busybox::image),
    ("Node.js", node::image),
    ("Python", python::image),
    ("HTTP server", program::http_server),
    ("bridge", program::bridge),
];

/// Builds all images, one after the other, and passes each on.
pub(super) fn build(mut done: impl FnMut(&Image) -> Result<()>) -> Result<()> {
    for (what, image) in ALL {
        let image = image().with_context(|| format!("cannot make the {what} image"))?;
        done(&image)?;
    }
    Ok(())
}
