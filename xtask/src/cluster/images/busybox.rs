//! The busybox image: a shell and small programs.

use anyhow::Result;

use super::Image;
use super::archive::{self, Start};
use super::root::Root;
use crate::tools::once;

const NAME: &str = "docker.io/local/portolan-busybox:1";

pub(super) fn image() -> Result<Image> {
    let folder = once("image-busybox-1", |draft| {
        let root = Root::new(&draft.join("root"))?;
        root.add_busybox()?;
        let start = Start {
            entrypoint: &[],
            command: &["sh"],
            folder: "/tmp",
        };
        archive::write(NAME, &start, root.path(), draft)
    })?;
    archive::read(NAME, &folder)
}
