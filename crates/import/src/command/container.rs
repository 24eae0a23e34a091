//! `docker run`.

use std::collections::BTreeMap;

use super::{is_absolute, is_relative, package::oci, warn_of_secrets};
use crate::{draft::Draft, model::Launch};

/// Options of `docker run` that take a value and mean nothing to a server's launch.
const WITH_VALUE: &[&str] = &[
    "-p",
    "--publish",
    "--name",
    "--pull",
    "--platform",
    "--entrypoint",
    "-w",
    "--workdir",
    "-h",
    "--hostname",
    "--add-host",
    "--cap-add",
    "--cap-drop",
    "--security-opt",
    "-m",
    "--memory",
    "--cpus",
    "-c",
    "--cpu-shares",
    "-l",
    "--label",
    "--restart",
    "--gpus",
    "--ulimit",
    "--dns",
    "--tmpfs",
    "--ipc",
    "--shm-size",
    "--log-driver",
    "--log-opt",
    "--volumes-from",
    "--device",
    "--network-alias",
    "--pids-limit",
    "--runtime",
    "--pid",
    "--userns",
    "--ip",
    "--mac-address",
    "--cidfile",
    "--label-file",
    "--health-cmd",
    "--stop-timeout",
    "--stop-signal",
    "--expose",
    "--link",
    "--isolation",
    "--sysctl",
    "--group-add",
    "--memory-swap",
    "--annotation",
    "-a",
    "--attach",
    "--cgroupns",
    "--init-path",
    "--uts",
    "--secret",
];

/// Returns what follows `docker run`.
pub(super) fn arguments<'a>(program: &str, args: &'a [String]) -> Option<&'a [String]> {
    if !matches!(program, "docker" | "podman" | "nerdctl") {
        return None;
    }
    match args {
        [first, second, rest @ ..] if first == "container" && second == "run" => Some(rest),
        [first, rest @ ..] if first == "run" => Some(rest),
        _ => None,
    }
}

/// Sets what a server is launched by, from the arguments of `docker run`.
pub(crate) fn run(draft: &mut Draft, args: &[String]) {
    let given = std::mem::take(&mut draft.server.env);
    let mut container = Container::default();
    let mut rest = args.iter();
    let mut image = None;
    while let Some(arg) = rest.next() {
        let Some((flag, value)) = option(arg, &mut rest) else {
            image = Some(arg.clone());
            break;
        };
        container.take(draft, &flag, value, &given);
    }
    let Some(image) = image else { return };
    let args: Vec<String> = rest.cloned().collect();
    drop_unused(draft, &given, &container, &args);
    draft.server.package = Some(oci(draft, &image, &args));
    let source = |volume: &String| volume.split(':').next().unwrap_or_default().to_owned();
    if container
        .volumes
        .iter()
        .any(|volume| is_absolute(volume) || is_absolute(&source(volume)) || is_relative(&source(volume)))
    {
        draft.warn("local-path");
    }
    warn_of_secrets(draft, &args);
    draft.server.launch = Some(Launch::Container {
        image,
        args,
        volumes: container.volumes,
        network: container.network,
        user: container.user,
    });
}

/// Reads an option with its value; `None` for a word that is none.
fn option(arg: &str, rest: &mut std::slice::Iter<'_, String>) -> Option<(String, Option<String>)> {
    if !arg.starts_with('-') || arg == "-" {
        return None;
    }
    if let Some((flag, value)) = arg.split_once('=')
        && flag.starts_with("--")
    {
        return Some((flag.to_owned(), Some(value.to_owned())));
    }
    let takes_value = |flag: &str| {
        WITH_VALUE.contains(&flag)
            || matches!(
                flag,
                "-e" | "--env" | "--env-file" | "-v" | "--volume" | "--mount" | "--network" | "--net" | "-u" | "--user"
            )
    };
    if takes_value(arg) {
        return Some((arg.to_owned(), rest.next().cloned()));
    }
    if !arg.starts_with("--")
        && let Some(flag) = arg.get(..2)
        && arg.len() > 2
        && takes_value(flag)
    {
        return Some((flag.to_owned(), Some(arg[2..].trim_start_matches('=').to_owned())));
    }
    Some((arg.to_owned(), None))
}

#[derive(Debug, Default)]
struct Container {
    volumes: Vec<String>,
    network: Option<String>,
    user: Option<String>,
}

impl Container {
    fn take(&mut self, draft: &mut Draft, flag: &str, value: Option<String>, given: &BTreeMap<String, String>) {
        let Some(value) = value else { return };
        match flag {
            "-e" | "--env" => match value.split_once('=') {
                Some((name, value)) => draft.env(name, value),
                None => {
                    let filled = match given.get(&value) {
                        Some(given) => given.clone(),
                        None => draft.environment(&value, false),
                    };
                    draft.server.env.insert(value, filled);
                }
            },
            "--env-file" => draft.warn("env-file"),
            "-v" | "--volume" => self.volumes.push(value),
            "--mount" => self.volumes.extend(mount(&value)),
            "--network" | "--net" => self.network = Some(value),
            "-u" | "--user" => self.user = Some(value),
            _ => {}
        }
    }
}

/// Returns a mount as a volume.
fn mount(text: &str) -> Option<String> {
    let (mut source, mut target, mut suffix) = (None, None, "");
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("src" | "source", value)) => source = Some(value),
            Some(("dst" | "destination" | "target", value)) => target = Some(value),
            Some(("type", "tmpfs")) => return None,
            Some(("readonly" | "ro", "true" | "1")) | None
                if matches!(part.split('=').next(), Some("readonly" | "ro")) =>
            {
                suffix = ":ro";
            }
            _ => {}
        }
    }
    Some(format!("{}:{}{suffix}", source?, target?))
}

/// Drops the inputs of variables that the program has and the container does not.
fn drop_unused(draft: &mut Draft, given: &BTreeMap<String, String>, container: &Container, args: &[String]) {
    let mut used: String = draft.server.env.values().map(String::as_str).collect();
    used.extend(args.iter().map(String::as_str));
    used.extend(container.volumes.iter().map(String::as_str));
    let unused: String = given.values().map(String::as_str).collect();
    draft.server.inputs.retain(|input| {
        let reference = format!("<<{}>>", input.name);
        used.contains(&reference) || !unused.contains(&reference)
    });
}
