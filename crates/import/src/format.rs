//! The formats that are read.

use std::{fmt, str::FromStr};

use crate::Error;

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A format that [`import`](crate::import) reads.
        ///
        /// ```
        /// use portolan_import::Format;
        ///
        /// assert_eq!("server-json".parse(), Ok(Format::ServerJson));
        /// assert_eq!(Format::Vscode.to_string(), "vscode");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$doc])* $variant,)*
        }

        impl Format {
            /// All formats.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the name, as `FromStr` reads it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

formats! {
    /// Claude Desktop, Claude Code (`.mcp.json`, `~/.claude.json`), and any `mcpServers` JSON of no other kind.
    Claude = "claude",
    /// VS Code: `mcp.json`, the older settings, and the `.mcp.json` that it reads too.
    Vscode = "vscode",
    /// Cursor: `mcp.json`.
    Cursor = "cursor",
    /// Windsurf: `mcp_config.json`.
    Windsurf = "windsurf",
    /// Cline: `cline_mcp_settings.json`.
    Cline = "cline",
    /// Roo Code: `mcp_settings.json`, `.roo/mcp.json`.
    Roo = "roo",
    /// Gemini CLI: `settings.json`.
    Gemini = "gemini",
    /// OpenAI Codex: `config.toml`.
    Codex = "codex",
    /// Zed: `settings.json`.
    Zed = "zed",
    /// opencode: `opencode.json`, `opencode.jsonc`.
    Opencode = "opencode",
    /// Goose: `config.yaml`.
    Goose = "goose",
    /// Continue: `config.yaml` and the files of `.continue/mcpServers`.
    Continue = "continue",
    /// LibreChat: `librechat.yaml`.
    Librechat = "librechat",
    /// GitHub Copilot CLI: `mcp-config.json`, and the setting of its cloud agent.
    Copilot = "copilot",
    /// The `server.json` of the official registry.
    ServerJson = "server-json",
    /// An answer of the registry's API: a list page, or one `{server, _meta}` record.
    RegistryList = "registry-list",
    /// The `manifest.json` of a bundle (MCPB, before: DXT).
    Mcpb = "mcpb",
    /// A catalogue file of Docker's gateway.
    DockerCatalog = "docker-catalog",
    /// A `server.yaml` of Docker's registry.
    DockerSource = "docker-source",
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| Error::UnknownFormat {
                name: name.chars().take(40).collect(),
            })
    }
}
