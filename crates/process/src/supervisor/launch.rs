//! Spawns a program.

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use portolan_core::{Failure, FailureKind};
use tokio::process::{Child, Command};

use super::workdir::PrivateDir;
use crate::{ProcessConfig, ServerCommand, WorkDir, processes::MARK};

/// Returns true if `command` needs a private directory: as its working directory, as its home, or for its files.
pub(crate) fn needs_private_dir(command: &ServerCommand, config: &ProcessConfig) -> bool {
    let has_home = config.inherit.iter().any(|(name, _)| name == "HOME");
    config.work_dir == WorkDir::Private || !command.files.is_empty() || !has_home
}

/// Spawns `command` in a process group of its own, with pipes as its standard streams and no environment but what the
/// command and the config name, and `mark`, by which it and its helpers are found. `private` is its private directory, if it
/// [needs](needs_private_dir) one.
pub(crate) fn launch(
    command: &ServerCommand,
    config: &ProcessConfig,
    private: Option<&PrivateDir>,
    mark: &str,
) -> Result<Child, Failure> {
    let work_dir = match (&config.work_dir, private) {
        (WorkDir::Private, Some(private)) => private.path(),
        (WorkDir::Private, None) => &config.base_dir,
        (WorkDir::At(path), _) => path,
    };
    if !work_dir.is_dir() {
        return Err(Failure::new(
            FailureKind::Start,
            format!("the working directory {work_dir:?} does not exist"),
        )
        .remedy("create the directory, or configure another one"));
    }
    let program = find(&command.program, &config.path)?;
    let mut child = Command::new(&program);
    child
        .args(&command.args)
        .current_dir(work_dir)
        .env_clear()
        .envs(private.map(|private| ("HOME", private.path())))
        .envs(config.inherit.iter().map(|(name, value)| (name, value)))
        .env("PATH", &config.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    add_values(&mut child, command, private)?;
    child.env(MARK, mark);
    child.spawn().map_err(|error| {
        Failure::new(
            FailureKind::Start,
            format!("{:?} could not be started: {error}", command.program),
        )
        .detail(format!("found as {}", program.display()))
    })
}

/// Adds the environment variables and files of the command.
fn add_values(child: &mut Command, command: &ServerCommand, private: Option<&PrivateDir>) -> Result<(), Failure> {
    for (name, value) in &command.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Failure::new(
                FailureKind::Config,
                format!("{name:?} cannot be the name of a variable"),
            ));
        }
        if value.reveal().contains('\0') {
            return Err(Failure::new(
                FailureKind::Config,
                format!("the value of {name:?} holds a NUL"),
            ));
        }
        child.env(name, value.reveal());
    }
    if let Some(private) = private.filter(|_| !command.files.is_empty()) {
        child.env("PORTOLAN_SECRETS_DIR", private.write_files(&command.files)?);
    }
    Ok(())
}

/// Returns the file that `program` names.
fn find(program: &str, path: &OsStr) -> Result<PathBuf, Failure> {
    let candidates = match program.contains('/') {
        true if !program.starts_with('/') => {
            return Err(Failure::new(
                FailureKind::Start,
                format!("{program:?} is neither a name nor a full path"),
            )
            .remedy("give the full path of the program"));
        }
        true => vec![PathBuf::from(program)],
        false => std::env::split_paths(path).map(|dir| dir.join(program)).collect(),
    };
    if let Some(runnable) = candidates.iter().find(|file| is_runnable(file)) {
        return Ok(runnable.clone());
    }
    if let Some(file) = candidates.iter().find(|file| file.is_file()) {
        let message = format!("{program:?} may not be executed");
        return Err(Failure::new(FailureKind::Start, message).remedy(format!("make {} executable", file.display())));
    }
    let looked_in = OsString::from(path);
    Err(
        Failure::new(FailureKind::Image, format!("the program {program:?} is not installed"))
            .remedy(remedy(program))
            .detail(format!("search path: {}", looked_in.display())),
    )
}

fn is_runnable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Returns what to install, for well-known programs.
fn remedy(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let install = match name {
        "npx" | "npm" | "node" => "install Node.js",
        "uvx" | "uv" => "install uv",
        "python" | "python3" | "pipx" => "install Python",
        "bunx" | "bun" => "install Bun",
        "deno" => "install Deno",
        "docker" => "install Docker",
        "podman" => "install Podman",
        "dotnet" | "dnx" => "install .NET",
        "java" => "install Java",
        "go" => "install Go",
        "cargo" => "install Rust",
        _ => return format!("put {name:?} on the search path, or give its full path"),
    };
    format!("{install}, and see that {name:?} is on the search path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_names_remedy() {
        let missing = |program: &str| find(program, OsStr::new("/nowhere")).unwrap_err();
        assert_eq!(missing("npx").kind, FailureKind::Image);
        assert!(missing("npx").remedy.unwrap().contains("Node.js"));
        assert!(missing("uvx").remedy.unwrap().contains("install uv"));
        assert!(missing("my-tool").remedy.unwrap().contains("full path"));
        assert!(missing("./my-tool").remedy.unwrap().contains("full path"));
    }

    #[test]
    fn file_without_execute_permission() {
        let failure = find("/etc/passwd", OsStr::new("")).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Start);
        assert!(failure.remedy.unwrap().contains("executable"));
    }
}
