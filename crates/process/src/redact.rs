//! Removes secrets from log lines.

use std::{borrow::Cow, fmt};

use portolan_core::Secret;

use crate::{ResolvedValue, ServerCommand};

/// Shorter values stay: removing `true` or `8080` from a log would hide more than it protects.
const MIN_LEN: usize = 6;

/// Removes the secrets that a server was given from its log lines.
///
/// It finds secrets as they stand, and each line of one that has several; not encoded ones.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<Secret>);

impl Redactor {
    pub(crate) fn of(command: &ServerCommand) -> Self {
        let resolved = command.env.values().chain(command.files.values());
        let mut texts: Vec<&str> = resolved
            .filter_map(|resolved| match resolved {
                ResolvedValue::Secret(secret) => Some(secret.reveal()),
                ResolvedValue::Plain(_) => None,
            })
            .flat_map(str::lines)
            .map(str::trim)
            .filter(|line| line.len() >= MIN_LEN)
            .collect();
        // The longest first, so that no part of it is left when it contains a shorter one.
        texts.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts.into_iter().map(Secret::new).collect())
    }

    /// Returns the line without secrets.
    pub(crate) fn clean<'a>(&self, line: Cow<'a, str>) -> Cow<'a, str> {
        self.0
            .iter()
            .fold(line, |line, secret| match line.contains(secret.reveal()) {
                true => Cow::Owned(line.replace(secret.reveal(), "…")),
                false => line,
            })
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_except_short_ones() {
        let command = ServerCommand::new("x", [""; 0])
            .with_env("A", Secret::new("hunter22"))
            .with_env("B", Secret::new("true"))
            .with_env("C", "plain-text")
            .with_file("key", Secret::new("-----BEGIN-----\nabcdefgh\n"));
        let redactor = Redactor::of(&command);
        let line = redactor.clean("true hunter22 plain-text abcdefgh".into());
        assert_eq!(line, "true … plain-text …");
        assert_eq!(format!("{redactor:?}"), "Redactor(3)");
    }
}
