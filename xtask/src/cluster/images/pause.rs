//! The pause image: a program that does nothing and keeps the namespaces of a pod open.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::archive::{self, Start};
use super::{Image, PAUSE};
use crate::exec;
use crate::tools::{apt, once};

const SOURCE: &str = include_str!("../../../assets/cluster/pause.c");

pub(super) fn image() -> Result<Image> {
    let folder = once("image-pause-1", |draft| {
        let gcc = apt::ensure_program("gcc", "gcc libc6-dev")?;
        let source = draft.join("pause.c");
        fs::write(&source, SOURCE)?;
        let root = draft.join("root");
        fs::create_dir(&root)?;
        let mut command = Command::new(gcc);
        command
            .args(["-static", "-Os", "-s", "-o"])
            .arg(root.join("pause"))
            .arg(source);
        exec::output(&mut command)?;
        let start = Start {
            entrypoint: &["/pause"],
            command: &[],
            folder: "/",
        };
        archive::write(PAUSE, &start, &root, draft)
    })?;
    archive::read(PAUSE, &folder)
}
