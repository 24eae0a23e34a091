//! What is lost, and why an entry cannot be imported: codes of the result form.

use std::fmt;

use serde::{Serialize, Serializer};

/// A warning about a server or a file.
///
/// `Display` and `Serialize` write its code, with what it is about after a colon.
///
/// ```
/// use portolan_import::{Format, import};
///
/// let text = "{\"mcpServers\": {\n  \"a\": {\"command\": \"a-mcp\", \"disabled\": true}\n}}";
/// let found = import(Format::Claude, text)?;
/// assert_eq!(found.servers[0].warnings[0].to_string(), "ignored-key:disabled");
/// assert_eq!(found.servers[0].warnings[0].line, 2);
/// # Ok::<(), portolan_import::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What it says.
    pub kind: WarningKind,
    /// The line of the file that it is about, from 1.
    pub line: u32,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.kind)
    }
}

macro_rules! codes {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $(($detail:ident))? = $code:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant $(($detail))?,)*
        }

        impl $name {
            /// Returns the code.
            pub fn code(&self) -> &'static str {
                match self {
                    $(codes!(@pattern $variant $($detail)?) => $code,)*
                }
            }

            /// Returns what it is about.
            pub fn detail(&self) -> Option<&str> {
                match self {
                    $(codes!(@bind detail $variant $($detail)?) => codes!(@value detail $($detail)?),)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())?;
                match self.detail() {
                    Some(detail) => write!(f, ":{detail}"),
                    None => Ok(()),
                }
            }
        }
    };
    (@pattern $variant:ident) => { Self::$variant };
    (@pattern $variant:ident $detail:ident) => { Self::$variant(_) };
    (@bind $name:ident $variant:ident) => { Self::$variant };
    (@bind $name:ident $variant:ident $detail:ident) => { Self::$variant($name) };
    (@value $name:ident) => { None };
    (@value $name:ident $detail:ident) => { Some($name.as_str()) };
}

codes! {
    /// What a warning says.
    WarningKind {
        /// A stdio bridge stood before a remote server; the remote server is imported.
        Bridge = "bridge",
        /// `cmd /c`, `npx.cmd` or `wsl` was taken off.
        UnwrappedShell = "unwrapped-shell",
        /// The package has no exact version.
        Unpinned = "unpinned",
        /// A path of the author's machine.
        LocalPath = "local-path",
        /// The file holds a secret.
        SecretInFile = "secret-in-file",
        /// A secret stands in the command line.
        SecretInArgument = "secret-in-argument",
        /// A URL without a type.
        TransportGuessed = "transport-guessed",
        /// HTTP+SSE.
        OldTransport = "old-transport",
        /// An older form of the format.
        OldForm = "old-form",
        /// The map of servers had no wrapper.
        UnwrappedMap = "unwrapped-map",
        /// A file of environment variables, which is not read.
        EnvFile = "env-file",
        /// A variable that only the client knows.
        ClientVariable = "client-variable",
        /// Looks like a placeholder, but is none for this client.
        NotExpanded = "not-expanded",
        /// A default with a placeholder in it, which no client expands.
        NestedDefault = "nested-default",
        /// This input has several defaults; the first is taken.
        SeveralDefaults(String) = "several-defaults",
        /// The command installs several packages; the first is taken.
        SeveralPackages = "several-packages",
        /// This key has no effect, or none that can be kept.
        IgnoredKey(String) = "ignored-key",
        /// This key is deprecated.
        DeprecatedKey(String) = "deprecated-key",
        /// The client refuses to set this environment variable.
        ForbiddenEnv(String) = "forbidden-env",
        /// The client takes a nearer time limit.
        TimeoutClamped = "timeout-clamped",
        /// This input has several values, but stands inside a text.
        ListInText(String) = "list-in-text",
        /// This way to authenticate cannot be kept.
        UnsupportedAuth(String) = "unsupported-auth",
        /// The arguments of the container runtime hold its command.
        RunInRuntimeArguments = "run-in-runtime-arguments",
        /// That client would load none of the file's servers.
        ClientRefusesFile = "client-refuses-file",
    }
}

codes! {
    /// Why an entry cannot be imported.
    Reason {
        /// It has neither a program nor a URL.
        NoLaunch = "no-launch",
        /// It needs a type.
        TypeMissing = "type-missing",
        /// It has a program and a URL.
        BothLaunches = "both-launches",
        /// This key is missing.
        Missing(String) = "missing",
        /// The value at this path has a wrong type.
        WrongType(String) = "wrong-type",
        /// Its transport is not supported.
        UnsupportedTransport = "unsupported-transport",
        /// It is built into the client, or only the client can resolve it.
        InClient = "in-client",
        /// It uses an input that is not declared.
        UndeclaredInput(String) = "undeclared-input",
        /// It was deleted.
        Deleted = "deleted",
        /// It has more than 1,000 inputs, or a text that placeholders make longer than a file may be.
        TooLarge = "too-large",
        /// Its version is a placeholder.
        PlaceholderInVersion = "placeholder-in-version",
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
