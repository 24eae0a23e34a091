//! The images of the tests, built from files of this machine, without a registry.

mod archive;
mod busybox;
mod node;
mod pause;
mod program;
mod python;
mod root;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The image of the container that holds the namespaces of each pod.
pub(super) const PAUSE: &str = "docker.io/local/portolan-pause:1";

/// An image in a docker-archive.
#[derive(Debug)]
pub(super) struct Image {
    /// The name in pod specs.
    pub(super) name: String,
    /// The path of the file.
    pub(super) archive: PathBuf,
    /// Changes with the content.
    pub(super) id: String,
}

/// Builds the image that must be loaded before any pod starts.
pub(super) fn pause() -> Result<Image> {
    pause::image().context("cannot build the pause image")
}

type Make = fn() -> Result<Image>;

/// The images of the tests, each with its description. Images of packages are cached; those of workspace programs are built
/// each time.
const ALL: &[(&str, Make)] = &[
    ("busybox", busybox::image),
    ("Node.js", node::image),
    ("Python", python::image),
    ("HTTP server", program::http_server),
    ("bridge", program::bridge),
];

/// Builds each image and passes it on.
pub(super) fn build(mut done: impl FnMut(&Image) -> Result<()>) -> Result<()> {
    for (what, image) in ALL {
        let image = image().with_context(|| format!("cannot build the {what} image"))?;
        done(&image)?;
    }
    Ok(())
}
