//! The formats.

use std::{fmt, str::FromStr};

macro_rules! formats {
    ($($variant:ident $name:literal $doc:literal),* $(,)?) => {
        /// The kind of a file.
        ///
        /// ```
        /// use portolan_import::Format;
        ///
        /// assert_eq!("server-json".parse(), Ok(Format::ServerJson));
        /// assert!("ini".parse::<Format>().unwrap_err().to_string().contains("claude"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Format {
            $(#[doc = $doc] $variant,)*
        }

        impl Format {
            /// All formats.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name, such as `server-json`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

formats! {
    Claude "claude" "Claude Desktop, Claude Code, and any `mcpServers` JSON of no other kind.",
    Vscode "vscode" "VS Code: `mcp.json`, or `mcp.servers` in its settings.",
    Cursor "cursor" "Cursor: `mcp.json`.",
    Windsurf "windsurf" "Windsurf: `mcp_config.json`.",
    Cline "cline" "Cline: `cline_mcp_settings.json`.",
    Roo "roo" "Roo Code: `mcp_settings.json`.",
    Gemini "gemini" "Gemini CLI: `settings.json`.",
    Codex "codex" "OpenAI Codex: `config.toml`.",
    Zed "zed" "Zed: `settings.json`.",
    Opencode "opencode" "opencode: `opencode.json`.",
    Goose "goose" "Goose: `config.yaml`.",
    Continue "continue" "Continue: `config.yaml`, and drop-ins in `.continue/mcpServers`.",
    LibreChat "librechat" "LibreChat: `librechat.yaml`.",
    Copilot "copilot" "GitHub Copilot CLI: `mcp-config.json`.",
    ServerJson "server-json" "A `server.json` of the official registry.",
    RegistryList "registry-list" "An answer of the registry API: a page, or one record.",
    Mcpb "mcpb" "The manifest of a bundle (MCPB, DXT before).",
    DockerCatalog "docker-catalog" "A catalogue file of Docker's MCP gateway.",
    DockerSource "docker-source" "A `server.yaml` of Docker's MCP registry.",
}

/// The text names no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Format::ALL.iter().map(|format| format.as_str()).collect();
        write!(f, "{:?} is no format; use one of {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.iter().find(|format| format.as_str() == name);
        found.copied().ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
