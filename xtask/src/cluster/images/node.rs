//! The Node.js image, with real MCP servers from npm in `/app/node_modules`.

use anyhow::Result;

use super::Image;
use super::archive::{self, Start};
use super::root::Root;
use crate::tools::{node, once, parts};

const NAME: &str = "docker.io/local/portolan-node:1";

pub(super) fn image() -> Result<Image> {
    let parts = parts::folder()?;
    let folder = once(&format!("image-node-1-{}", parts::key(&parts)), |draft| {
        println!("building the Node.js image …");
        let root = Root::new(&draft.join("root"))?;
        let node = node::program()?.canonicalize()?;
        root.copy(&node, "usr/local/bin/node")?;
        root.add_libraries(&[node])?;
        root.copy(&parts.join("npm/node_modules"), "app/node_modules")?;
        root.add_busybox()?;
        let start = Start {
            entrypoint: &[],
            command: &["node"],
            folder: "/app",
        };
        archive::write(NAME, &start, root.path(), draft)
    })?;
    archive::read(NAME, &folder)
}
