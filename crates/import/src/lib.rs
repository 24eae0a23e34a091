//! Reads the MCP servers in the files that people have: configurations of clients, `server.json` documents and answers of the
//! official registry, bundles, and Docker catalogues.
//!
//! Nothing is guessed: what a file does not say becomes an [`Input`], what cannot be used is [rejected](Rejected) with a
//! reason, and what a person should know is a warning. A secret that stands in the file never reaches the description of
//! the server. One bad entry does not lose the others.
//!
//! ```
//! use portolan_import::{Format, import};
//!
//! let file = r#"{"mcpServers": {"notes": {"command": "npx", "args": ["-y", "notes-mcp@1.2.3"], "env": {"API_KEY": "k"}}}}"#;
//! let found = import(Format::Claude, file);
//! let server = &found.servers.expect("servers")[0];
//! assert_eq!(server.package.as_ref().expect("a package").version.as_deref(), Some("1.2.3"));
//! assert_eq!(server.env["API_KEY"], "<<API_KEY>>");
//! assert!(server.inputs[0].secret);
//! ```

mod bundle;
mod clients;
mod command;
mod docker;
mod draft;
mod format;
mod model;
mod node;
mod parse;
mod placeholder;
mod server_json;

pub use format::{Format, UnknownFormat};
pub use model::{Import, ImportedServer, Input, Launch, OAuth, Package, RegistryStatus, Rejected, Timeouts, Tools};

use draft::Reason;
use node::Node;

/// The most servers of one file; more are not read.
pub const MAX_SERVERS: usize = 10_000;

/// Reads a file of the given format. For a drop-in of Continue without a name, use [`import_named`].
///
/// A text over 4 MiB is not read: the error is `too-long`.
pub fn import(format: Format, text: &str) -> Import {
    import_named(format, "server", text)
}

/// Reads a file; `name` is the name of a server that has none but that of its file.
pub fn import_named(format: Format, name: &str, text: &str) -> Import {
    if text.len() > parse::MAX_BYTES {
        return failed(format, "too-long".to_owned());
    }
    let root = match parse::parse(format, text) {
        Ok(root) => root,
        Err(line) => return failed(format, format!("syntax:{line}")),
    };
    let mut found = Found::default();
    match format {
        Format::ServerJson | Format::RegistryList => {
            if let Err(error) = server_json::read(&root, format, &mut found) {
                return failed(format, error);
            }
        }
        Format::Mcpb => bundle::read(&root, &mut found),
        Format::DockerCatalog => docker::catalog(&root, &mut found),
        Format::DockerSource => docker::source(&root, &mut found),
        _ => clients::read(format, name, &root, &mut found),
    }
    Import {
        format: format.as_str(),
        error: None,
        servers: Some(found.servers),
        rejected: found.rejected,
        warnings: found.warnings,
    }
}

fn failed(format: Format, error: String) -> Import {
    Import {
        format: format.as_str(),
        error: Some(error),
        servers: None,
        rejected: Vec::new(),
        warnings: Vec::new(),
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    servers: Vec<ImportedServer>,
    rejected: Vec<Rejected>,
    warnings: Vec<String>,
}

impl Found {
    fn add(&mut self, name: &str, read: Result<ImportedServer, Reason>) {
        if self.servers.len() >= MAX_SERVERS {
            return self.warn("too-many-servers");
        }
        match read {
            Ok(server) => self.servers.push(server),
            Err(reason) => self.rejected.push(Rejected {
                name: name.to_owned(),
                reason,
            }),
        }
    }

    fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|known| known == warning) {
            self.warnings.push(warning.to_owned());
        }
    }
}

/// Reads the list of texts under `key`.
fn strings(entry: &Node, key: &str) -> Result<Option<Vec<String>>, Reason> {
    match entry.get(key) {
        None => Ok(None),
        Some(Node::List(items)) => {
            let texts = items.iter().enumerate().map(|(at, item)| match item {
                Node::Text(text) => Ok(text.clone()),
                _ => Err(format!("wrong-type:{key}.{at}")),
            });
            texts.collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(format!("wrong-type:{key}")),
    }
}

/// Reads the text under `key`.
fn string<'a>(entry: &'a Node, key: &str) -> Result<Option<&'a str>, Reason> {
    match entry.get(key) {
        None => Ok(None),
        Some(Node::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("wrong-type:{key}")),
    }
}

/// Reads the map from texts to texts under `key`.
fn text_map<'a>(entry: &'a Node, key: &str) -> Result<Vec<(&'a str, &'a str)>, Reason> {
    match entry.get(key) {
        None => Ok(Vec::new()),
        Some(Node::Map(members)) => {
            let pairs = members.iter().map(|(name, value)| match value {
                Node::Text(text) => Ok((name.as_str(), text.as_str())),
                _ => Err(format!("wrong-type:{key}.{name}")),
            });
            pairs.collect()
        }
        Some(_) => Err(format!("wrong-type:{key}")),
    }
}
