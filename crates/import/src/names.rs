//! What names and values look like: secrets, paths, versions.

/// Words that make the name of a value secret.
const SECRET_WORDS: &[&str] = &["token", "secret", "password", "passwd", "credential", "key", "auth"];

/// Returns whether a value of this name is a secret, if nothing states it.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Returns whether the value of this flag is a secret. Flags have many names with `key` and `auth` in them that are none.
pub(crate) fn is_secret_flag(flag: &str) -> bool {
    let name = flag.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    let last = name.rsplit('-').next().unwrap_or_default();
    let is_key = ["api-key", "access-key", "secret-key", "auth-key", "private-key"]
        .iter()
        .any(|end| name.ends_with(end));
    is_key
        || matches!(
            last,
            "token" | "secret" | "password" | "passwd" | "credential" | "credentials" | "apikey"
        )
}

/// Returns whether this header holds a whole credential.
pub(crate) fn is_authorization(header: &str) -> bool {
    header.eq_ignore_ascii_case("authorization") || header.eq_ignore_ascii_case("proxy-authorization")
}

/// File endings of programs, which stand in a command line as a path.
const SCRIPTS: &[&str] = &[
    ".js", ".mjs", ".cjs", ".ts", ".mts", ".py", ".rb", ".php", ".jar", ".sh", ".ps1", ".dll",
];

/// Returns whether a text is a path of some machine. A path that begins with a placeholder is none.
pub(crate) fn is_local_path(text: &str) -> bool {
    if text.contains("://") || text.starts_with(['$', '{', '<', '-', '@']) {
        return false;
    }
    let bytes = text.as_bytes();
    let drive =
        bytes.len() >= 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/');
    let begins = ["/", "./", "../", "~/", ".\\", "..\\", "\\\\"]
        .iter()
        .any(|start| text.starts_with(start));
    drive
        || begins
        || matches!(text, "." | ".." | "~")
        || (!text.contains(char::is_whitespace) && SCRIPTS.iter().any(|end| text.ends_with(end)))
}

/// Returns whether an argument is or holds a path: `--flag=/path` does.
pub(crate) fn has_local_path(argument: &str) -> bool {
    match argument.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => is_local_path(value),
        _ => is_local_path(argument),
    }
}

/// Returns whether a version is exact: no tag and no range.
pub(crate) fn is_exact(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    version.starts_with(|c: char| c.is_ascii_digit())
        && !version.contains(|c: char| c.is_whitespace() || "^~<>=|*$,{}".contains(c))
        && !numbers.split('.').any(|part| matches!(part, "x" | "X" | ""))
}

/// Returns whether an npm version is exact: one number or two are a range there.
pub(crate) fn is_exact_npm(version: &str) -> bool {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    is_exact(version) && numbers.split('.').count() == 3
}
