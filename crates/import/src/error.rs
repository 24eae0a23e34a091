//! Why a whole file cannot be read or written.

/// Why nothing of a file can be imported, or a file cannot be exported.
///
/// What is wrong with one entry is no error: see [`Rejected`](crate::Rejected) and [`Warning`](crate::Warning).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not of the format's language, or its outermost value is of a wrong type.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, from 1.
        line: u32,
        /// The column in characters, from 1; 0 if it is not known.
        column: u32,
        /// What is wrong. It may quote punctuation and keys of the file, but no values.
        message: String,
    },
    /// A `server.json` is a template: a version in it is a placeholder that a release fills in.
    #[error("the version is a placeholder; fill in the release's version first")]
    PlaceholderInVersion,
    /// The file is longer than [`MAX_BYTES`](crate::MAX_BYTES).
    #[error("the file has {bytes} bytes; the most is {}", crate::MAX_BYTES)]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The file has more entries than [`MAX_ENTRIES`](crate::MAX_ENTRIES).
    #[error("the file has {entries} entries; the most is {}", crate::MAX_ENTRIES)]
    TooManyEntries {
        /// The number of entries.
        entries: usize,
    },
    /// No format has this name.
    #[error(
        "{name:?} is no format; the formats are claude, vscode, cursor, windsurf, cline, roo, gemini, codex, zed, opencode, goose, continue, librechat, copilot, server-json, registry-list, mcpb, docker-catalog and docker-source"
    )]
    UnknownFormat {
        /// The name, cut to 40 characters.
        name: String,
    },
    /// The format cannot be written, or cannot hold this server.
    #[error("cannot export {server:?}: {reason}")]
    Unwritable {
        /// The server, or the format if none of its kind can be written.
        server: String,
        /// What the format lacks.
        reason: String,
    },
}

impl Error {
    /// Returns the code that the result form has for this error: `syntax:LINE` or `placeholder-in-version`, for example.
    ///
    /// ```
    /// use portolan_import::{Format, import};
    ///
    /// let error = import(Format::Claude, "{\n  \"mcpServers\": {,}\n}").unwrap_err();
    /// assert_eq!(error.code(), "syntax:2");
    /// ```
    pub fn code(&self) -> String {
        match self {
            Self::Syntax { line, .. } => format!("syntax:{line}"),
            Self::PlaceholderInVersion => "placeholder-in-version".into(),
            Self::TooLarge { .. } => "too-large".into(),
            Self::TooManyEntries { .. } => "too-many-entries".into(),
            Self::UnknownFormat { .. } => "unknown-format".into(),
            Self::Unwritable { .. } => "unwritable".into(),
        }
    }

    pub(crate) fn shape(line: u32, message: &str) -> Self {
        Self::Syntax {
            line,
            column: 0,
            message: message.into(),
        }
    }
}
