//! Wrappers around commands.

/// Programs that stand for themselves wherever they are installed.
const LAUNCHERS: &[&str] = &[
    "npx",
    "npm",
    "pnpm",
    "yarn",
    "bun",
    "bunx",
    "node",
    "deno",
    "uv",
    "uvx",
    "pipx",
    "python",
    "python3",
    "docker",
    "podman",
    "dnx",
    "dotnet",
    "cmd",
    "wsl",
    "powershell",
    "pwsh",
    "bash",
    "sh",
];

/// Takes `cmd /c`, `wsl` and the endings `.cmd`, `.exe` and `.bat` off. Returns whether there was any.
pub(super) fn unwrap(command: &str, args: &[String]) -> (String, Vec<String>, bool) {
    let (mut command, mut args, mut any) = (command.to_owned(), args.to_vec(), false);
    for _ in 0..4 {
        let Some((inner, rest)) = once(&command, &args) else {
            break;
        };
        (command, args, any) = (inner, rest, true);
    }
    (command, args, any)
}

fn once(command: &str, args: &[String]) -> Option<(String, Vec<String>)> {
    let name = base_name(command);
    let plain = without_ending(name);
    let inner = match plain.to_ascii_lowercase().as_str() {
        "cmd" => after_cmd(args),
        "wsl" => after_wsl(args),
        _ => None,
    };
    if let Some(at) = inner {
        let program = args.get(at)?;
        // A whole script in one word is kept as it is.
        return (!program.contains(char::is_whitespace) || is_path_of_program(program))
            .then(|| (program.clone(), args[at + 1..].to_vec()));
    }
    if plain == name {
        return None;
    }
    let lower = plain.to_ascii_lowercase();
    if LAUNCHERS.contains(&lower.as_str()) {
        return Some((lower, args.to_vec()));
    }
    (name == command).then(|| (plain.to_owned(), args.to_vec()))
}

fn is_path_of_program(word: &str) -> bool {
    without_ending(word) != word && word.contains(['/', '\\'])
}

/// Returns the last part of a path of either kind.
pub(super) fn base_name(command: &str) -> &str {
    command.rsplit(['/', '\\']).next().unwrap_or(command)
}

fn without_ending(name: &str) -> &str {
    [".cmd", ".exe", ".bat"]
        .iter()
        .find_map(|ending| {
            let at = name.len().checked_sub(ending.len())?;
            name.get(at..)?.eq_ignore_ascii_case(ending).then(|| &name[..at])
        })
        .filter(|plain| !plain.is_empty())
        .unwrap_or(name)
}

/// Returns the place of the program after `/c` or `/k`.
fn after_cmd(args: &[String]) -> Option<usize> {
    let switches = args.iter().take_while(|arg| arg.starts_with('/') && arg.len() <= 5);
    let at = switches.count();
    let last = args.get(at.checked_sub(1)?)?;
    matches!(last.as_str(), "/c" | "/C" | "/k" | "/K").then_some(at)
}

/// Returns the place of the program after the options of `wsl`.
fn after_wsl(args: &[String]) -> Option<usize> {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        match arg.as_str() {
            "-d" | "--distribution" | "-u" | "--user" | "--cd" | "--shell-type" | "--distribution-id" => at += 2,
            "--" | "-e" | "--exec" => return Some(at + 1),
            option if option.starts_with('-') || option == "~" => at += 1,
            _ => return Some(at),
        }
    }
    None
}
