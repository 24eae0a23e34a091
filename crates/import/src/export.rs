//! Client files from servers.

mod entry;
mod output;
mod placeholder;

use portolan_core::Secret;

use crate::{Error, Format, Input, InputSource, Launch, Part, Server, Text, TransportKind};
use output::Output;

/// What becomes of secrets whose values are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secrets {
    /// The file names an environment variable, or holds `<NAME>` where the client has no placeholders.
    #[default]
    Placeholders,
    /// The file holds the values as they are. Ask for this only where the file is for the person who owns the secrets.
    InClear,
}

impl Server {
    /// Creates an entry for a gateway: its URL, and a bearer token.
    ///
    /// Without a token the file asks for the environment variable `PORTOLAN_TOKEN`. A token is written only with
    /// [`Secrets::InClear`].
    ///
    /// ```
    /// use portolan_import::{Format, Secrets, Server, export};
    ///
    /// let gateway = Server::gateway("tools", "https://mcp.example.com/mcp/tools", None);
    /// let file = export(Format::Claude, &[gateway], Secrets::Placeholders)?;
    /// assert!(file.contains(r#""Authorization": "Bearer ${PORTOLAN_TOKEN}""#));
    /// # Ok::<(), portolan_import::Error>(())
    /// ```
    pub fn gateway(name: impl Into<String>, url: impl AsRef<str>, token: Option<Secret>) -> Self {
        let launch = Launch::Http {
            url: url.as_ref().into(),
            transport: TransportKind::StreamableHttp,
        };
        let mut server = Self::new(name, launch);
        let mut input = Input::new("PORTOLAN_TOKEN", InputSource::Environment);
        input.secret = true;
        if token.is_some() {
            input.source = InputSource::Literal;
            input.value = token;
        }
        let value = Text::new([Part::Literal("Bearer ".into()), Part::Input(input.name.clone())]);
        server.headers.insert("Authorization".into(), value);
        server.inputs.push(input);
        server
    }
}

/// Writes the configuration file of a client.
///
/// Reading it again gives the same servers, as far as the format can hold them. Inputs are written as the client's
/// placeholders. A secret is never written unless `secrets` asks for it.
///
/// ```
/// use portolan_import::{Format, Secrets, export, import};
///
/// let file = r#"{"mcpServers": {"notes": {"command": "notes-mcp", "args": ["--ro"], "env": {"NOTES_TOKEN": "${NOTES_TOKEN}"}}}}"#;
/// let servers = import(Format::Claude, file)?.servers;
/// let again = import(Format::Codex, &export(Format::Codex, &servers, Secrets::Placeholders)?)?.servers;
/// assert_eq!(again[0].env, servers[0].env);
/// # Ok::<(), portolan_import::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Unwritable`] for a format that is no client's file, and for a server that the format cannot hold.
pub fn export(format: Format, servers: &[Server], secrets: Secrets) -> Result<String, Error> {
    let mut entries = Vec::new();
    let mut inputs: Vec<&Input> = Vec::new();
    for server in servers {
        entries.push((server.name.clone(), entry::write(format, server, secrets)?));
        let prompts = server.inputs.iter().filter(|input| input.source == InputSource::Prompt);
        for input in prompts {
            if inputs.iter().all(|known| known.name != input.name) {
                inputs.push(input);
            }
        }
    }
    let root = match format {
        Format::Vscode => {
            let declared: Vec<Output> = inputs.into_iter().map(placeholder::declaration).collect();
            let inputs = (!declared.is_empty()).then(|| ("inputs".to_owned(), Output::List(declared)));
            Output::Map(
                inputs
                    .into_iter()
                    .chain([("servers".to_owned(), Output::Map(entries))])
                    .collect(),
            )
        }
        Format::Zed => Output::map([("context_servers", Output::Map(entries))]),
        Format::Codex => Output::map([("mcp_servers", Output::Map(entries))]),
        Format::Opencode => Output::map([("mcp", Output::Map(entries))]),
        Format::Goose => Output::map([("extensions", Output::Map(entries))]),
        Format::Continue => Output::map([
            ("name", "Servers".into()),
            ("version", "1.0.0".into()),
            ("schema", "v1".into()),
            (
                "mcpServers",
                Output::List(entries.into_iter().map(|(_, entry)| entry).collect()),
            ),
        ]),
        _ => Output::map([("mcpServers", Output::Map(entries))]),
    };
    let text = match format {
        Format::Codex => toml::to_string(&root).map_err(|error| error.to_string()),
        Format::Goose | Format::Continue | Format::Librechat => {
            serde_saphyr::to_string(&root).map_err(|error| error.to_string())
        }
        _ => serde_json::to_string_pretty(&root)
            .map(|text| text + "\n")
            .map_err(|error| error.to_string()),
    };
    text.map_err(|reason| unwritable(format.as_str(), reason))
}

fn unwritable(server: &str, reason: impl Into<String>) -> Error {
    Error::Unwritable {
        server: server.to_owned(),
        reason: reason.into(),
    }
}
