//! What a command line really starts.

mod bridge;
mod container;
mod package;

use crate::{
    draft::{Draft, is_secret_word},
    model::Launch,
};

pub(crate) use self::{container::run as run_container, package::oci};

/// Programs that are known by their name, wherever they are installed.
const LAUNCHERS: &[&str] = &[
    "npx", "bunx", "bun", "pnpm", "yarn", "npm", "uvx", "uv", "pipx", "docker", "podman", "dnx", "dotnet", "node",
    "python", "python3", "deno",
];

/// Sets what a server is launched by, from a command line. Its environment is read already.
pub(crate) fn start(draft: &mut Draft, program: &str, args: &[String], cwd: Option<&str>) {
    let program = draft.fill(program, false);
    let args = args.iter().map(|arg| draft.fill(arg, false)).collect();
    let cwd = cwd.map(|cwd| draft.fill(cwd, false));
    read(draft, program, args, cwd);
}

/// Sets what a server is launched by, from a command line whose placeholders are filled in.
pub(crate) fn read(draft: &mut Draft, program: String, args: Vec<String>, cwd: Option<String>) {
    let (program, args) = unwrap_shell(draft, program, args);
    let name = base_name(&program).to_owned();
    if bridge::read(draft, &name, &args) {
        return;
    }
    if let Some(run) = container::arguments(&name, &args) {
        container::run(draft, run);
        return;
    }
    let args = hide_secrets(draft, args);
    draft.server.package = package::of(draft, &name, &args);
    let is_local = is_path(&program) || args.iter().any(|arg| is_local(arg)) || cwd.as_deref().is_some_and(is_folder);
    let env_is_local = draft.server.env.values().any(|value| is_absolute(value));
    if is_local || env_is_local {
        draft.warn("local-path");
    }
    warn_of_secrets(draft, &args);
    draft.server.launch = Some(Launch::Stdio {
        command: program,
        args,
        cwd,
    });
}

/// Warns if a secret stands in the command line.
pub(crate) fn warn_of_secrets(draft: &mut Draft, args: &[String]) {
    let secrets = draft.server.inputs.iter().filter(|input| input.secret);
    let references: Vec<_> = secrets.map(|input| format!("<<{}>>", input.name)).collect();
    if args
        .iter()
        .any(|arg| references.iter().any(|reference| arg.contains(reference)))
    {
        draft.warn("secret-in-argument");
    }
}

/// Replaces the values of arguments such as `--token=x` and `--token x` by inputs.
fn hide_secrets(draft: &mut Draft, args: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(args.len());
    let mut flag: Option<String> = None;
    for arg in args {
        let is_value = !arg.starts_with('-') && !arg.is_empty() && !arg.contains("<<");
        let hidden = match flag.take() {
            Some(name) if is_value => Some(draft.literal(&name, &arg)),
            _ => None,
        };
        let hidden = hidden.or_else(|| {
            let (name, value) = arg.strip_prefix("--")?.split_once('=')?;
            let is_secret = is_secret_word(name) && !value.is_empty() && !value.contains("<<");
            is_secret.then(|| format!("--{name}={}", draft.literal(name, value)))
        });
        if let Some(name) = arg.strip_prefix("--")
            && !arg.contains('=')
            && is_secret_word(name)
        {
            flag = Some(name.to_owned());
        }
        out.push(hidden.unwrap_or(arg));
    }
    out
}

/// Takes off `cmd /c`, `wsl` and the endings of programs on Windows.
fn unwrap_shell(draft: &mut Draft, program: String, args: Vec<String>) -> (String, Vec<String>) {
    let name = base_name(&program).to_ascii_lowercase();
    let mut rest = args.iter();
    let inner: Option<Vec<String>> = match name.as_str() {
        "cmd" | "cmd.exe" => {
            let at = args
                .iter()
                .position(|arg| arg.eq_ignore_ascii_case("/c") || arg.eq_ignore_ascii_case("/k"));
            at.map(|at| args[at + 1..].to_vec())
        }
        "wsl" | "wsl.exe" => {
            let mut inner = Vec::new();
            while let Some(arg) = rest.next() {
                match arg.as_str() {
                    "-d" | "--distribution" | "-u" | "--user" | "--cd" => {
                        rest.next();
                    }
                    "-e" | "--exec" | "--" => {}
                    _ => {
                        inner.push(arg.clone());
                        inner.extend(rest.by_ref().cloned());
                    }
                }
            }
            Some(inner)
        }
        _ => None,
    };
    if let Some(mut inner) = inner.filter(|inner| !inner.is_empty()) {
        draft.warn("unwrapped-shell");
        let program = inner.remove(0);
        // One word with blanks is the whole command line.
        if inner.is_empty() && program.contains(' ') && !program.contains('"') {
            inner = program.split_whitespace().map(ToOwned::to_owned).collect();
            let program = inner.remove(0);
            return unwrap_shell(draft, program, inner);
        }
        return unwrap_shell(draft, program, inner);
    }
    let ending = [".cmd", ".exe", ".bat"].iter().find(|ending| name.ends_with(**ending));
    if let Some(ending) = ending {
        let bare = &name[..name.len() - ending.len()];
        if LAUNCHERS.contains(&bare) {
            draft.warn("unwrapped-shell");
            return (bare.to_owned(), args);
        }
        if !is_path(&program) {
            draft.warn("unwrapped-shell");
            return (program[..program.len() - ending.len()].to_owned(), args);
        }
    }
    (program, args)
}

/// Returns the last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn is_path(text: &str) -> bool {
    !text.contains("<<") && (text.contains('/') || text.contains('\\')) && !text.contains("://")
}

/// Returns whether a text is an absolute path, of Windows too, or one of the home folder.
pub(crate) fn is_absolute(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_drive =
        bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/');
    let is_rooted = text.starts_with('/') && text.len() > 1 && !text.starts_with("//");
    !text.contains("<<") && (is_drive || is_rooted || text.starts_with("~/") || text.starts_with("\\\\"))
}

pub(crate) fn is_relative(text: &str) -> bool {
    let is_dotted =
        matches!(text, "." | "..") || ["./", "../", ".\\", "..\\"].iter().any(|dots| text.starts_with(dots));
    !text.contains("<<") && is_dotted
}

fn is_folder(cwd: &str) -> bool {
    !cwd.is_empty() && !cwd.contains("<<") && !cwd.contains("${")
}

/// Returns whether an argument is a path of the author's machine.
fn is_local(arg: &str) -> bool {
    let value = match arg.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => value,
        _ => arg,
    };
    let is_script = [
        ".js", ".mjs", ".cjs", ".ts", ".py", ".rb", ".jar", ".php", ".sh", ".dll",
    ]
    .iter()
    .any(|ending| value.ends_with(ending));
    let is_plain = !value.contains("<<") && !value.contains("://") && !value.contains(char::is_whitespace);
    is_absolute(value) || is_relative(value) || (is_script && is_plain && !value.contains("${"))
}
