//! Placeholders in texts, in the syntax of each client.

/// Which placeholders a client fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// None.
    None,
    /// `${V}` and `${V:-default}`; with `bare` also `$V`.
    Shell { bare: bool },
    /// `${env:V}`, variables of the editor, and `${input:id}` with `inputs`.
    Editor { inputs: bool },
    /// `{env:V}` and `{file:path}`.
    Opencode,
    /// `${{ secrets.V }}` and `${{ inputs.V }}`.
    Continue,
    /// `${V}` and `{{V}}`.
    LibreChat,
    /// `$V` and `${V}`.
    Goose,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Variable {
        kind: Kind,
        name: String,
        default: Option<String>,
    },
}

/// What a placeholder names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Environment,
    Input,
    Client,
    File,
    Secret,
    Prompt,
    /// `{{V}}` of LibreChat.
    Mustache,
}

/// The parts of a text, and what is odd about it.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pub(crate) pieces: Vec<Piece>,
    /// Something looks like a placeholder, and is none for this client.
    pub(crate) not_expanded: bool,
    /// A default holds a placeholder.
    pub(crate) nested_default: bool,
}

const EDITOR_VARIABLES: &[&str] = &[
    "workspaceFolder",
    "workspaceFolderBasename",
    "userHome",
    "cwd",
    "file",
    "fileBasename",
    "fileDirname",
    "fileExtname",
    "relativeFile",
    "relativeFileDirname",
    "execPath",
    "lineNumber",
    "selectedText",
    "workspaceRoot",
];

impl Pieces {
    /// Splits `text`.
    pub(crate) fn of(text: &str, syntax: Syntax) -> Self {
        let mut found = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let taken = found.take(rest, syntax);
            rest = &rest[taken..];
        }
        let is_bare = text.strip_prefix('$').is_some_and(is_identifier);
        if is_bare && !matches!(syntax, Syntax::Shell { bare: true } | Syntax::Goose) {
            found.not_expanded = true;
        }
        found
    }

    /// Takes one part from the beginning of `rest`, and returns its length.
    fn take(&mut self, rest: &str, syntax: Syntax) -> usize {
        if let Some(inner) = rest.strip_prefix("${{") {
            if let Some(end) = inner.find("}}") {
                let name = inner[..end].trim();
                let variable = match (syntax, name.split_once('.')) {
                    (Syntax::Continue, Some(("secrets", name))) => Some((Kind::Secret, name)),
                    (Syntax::Continue, Some(("inputs", name))) => Some((Kind::Prompt, name)),
                    _ => None,
                };
                return self.found(&rest[..end + 5], variable, None);
            }
        } else if let Some(inner) = rest.strip_prefix("${") {
            if let Some(end) = closing(inner) {
                let (variable, default) = self.braced(&inner[..end], syntax);
                return self.found(&rest[..end + 3], variable, default);
            }
        } else if let Some(inner) = rest.strip_prefix("{{") {
            if let (Syntax::LibreChat, Some(end)) = (syntax, inner.find("}}")) {
                let variable = Some((Kind::Mustache, inner[..end].trim()));
                return self.found(&rest[..end + 4], variable, None);
            }
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}');
            let named = |prefix| inner[..end?].strip_prefix(prefix);
            if let Some(end) = end
                && let Some((kind, name)) = (named("env:").map(|name| (Kind::Environment, name)))
                    .or_else(|| named("file:").map(|name| (Kind::File, name)))
            {
                let variable = (syntax == Syntax::Opencode).then_some((kind, name));
                return self.found(&rest[..end + 2], variable, None);
            }
        } else if let Some(inner) = rest.strip_prefix('$')
            && matches!(syntax, Syntax::Shell { bare: true } | Syntax::Goose)
        {
            let end = inner
                .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
                .unwrap_or(inner.len());
            if is_identifier(&inner[..end]) {
                return self.found(&rest[..=end], Some((Kind::Environment, &inner[..end])), None);
            }
        }
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = rest[first..].find(['$', '{']).map_or(rest.len(), |at| first + at);
        self.text(&rest[..end]);
        end
    }

    /// Reads what stands in `${…}`.
    fn braced<'a>(&mut self, inner: &'a str, syntax: Syntax) -> (Option<(Kind, &'a str)>, Option<&'a str>) {
        let environment = |name: &'a str| is_identifier(name).then_some((Kind::Environment, name));
        match syntax {
            Syntax::Shell { .. } => match inner.split_once(":-") {
                Some((name, default)) if is_identifier(name) => {
                    self.nested_default |= default.contains("${");
                    (environment(name), Some(default))
                }
                _ => (environment(inner), None),
            },
            Syntax::LibreChat | Syntax::Goose => (environment(inner), None),
            Syntax::Editor { inputs } => {
                let variable = match inner.split_once(':') {
                    Some(("env", name)) => Some((Kind::Environment, name)),
                    Some(("input", id)) if inputs => Some((Kind::Input, id)),
                    Some(("config" | "command", _)) => Some((Kind::Client, inner)),
                    Some(("workspaceFolder", _)) => Some((Kind::Client, inner)),
                    _ => EDITOR_VARIABLES.contains(&inner).then_some((Kind::Client, inner)),
                };
                (variable, None)
            }
            Syntax::None | Syntax::Opencode | Syntax::Continue => (None, None),
        }
    }

    fn found(&mut self, whole: &str, variable: Option<(Kind, &str)>, default: Option<&str>) -> usize {
        match variable {
            Some((kind, name)) => self.pieces.push(Piece::Variable {
                kind,
                name: name.to_owned(),
                default: default.map(ToOwned::to_owned),
            }),
            // The separator of paths is known here.
            None if matches!(whole, "${pathSeparator}" | "${/}") => self.text("/"),
            None => {
                self.not_expanded = true;
                self.text(whole);
            }
        }
        whole.len()
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }
}

/// Returns where the bracket of `${` closes.
fn closing(inner: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = inner.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    inner.find('}')
}

pub(crate) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}
