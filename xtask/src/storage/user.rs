//! The user that runs the servers, which refuse root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec;

/// Another user than root; `None` if this one is not root.
#[derive(Debug)]
pub(super) struct User(Option<(u32, u32)>);

impl User {
    pub(super) fn unprivileged() -> Result<Self> {
        let id = |arguments: &[&str]| -> Result<u32> {
            let id = exec::output(Command::new("id").args(arguments))?;
            id.trim().parse().context("id gives no number")
        };
        if id(&["-u"])? != 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some((id(&["-u", "nobody"])?, id(&["-g", "nobody"])?))))
    }

    /// Returns a command that this user runs.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a file or folder to this user.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        match self.0 {
            Some((user, group)) => Ok(chown(path, Some(user), Some(group))?),
            None => Ok(()),
        }
    }
}
