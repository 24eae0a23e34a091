#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]

mod client;
mod command;
mod document;
mod draft;
mod error;
mod export;
mod fields;
mod format;
mod install;
mod local;
mod model;
mod names;
mod node;
mod notice;
mod parse;
mod placeholder;
mod report;
mod text;

pub use error::Error;
pub use export::{Secrets, export};
pub use format::Format;
pub use install::{Installable, Unmapped};
pub use model::{
    Import, Input, InputSource, Launch, OAuth, Package, PackageRegistry, Platform, RegistryStatus, Rejected, Server,
    Timeouts, Tools, TransportKind,
};
pub use notice::{Reason, Warning, WarningKind};
pub use report::report;
pub use text::{Part, Text};

/// The most bytes of a file.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most entries of a file.
pub const MAX_ENTRIES: usize = 1_000;

/// Reads the servers of a file.
///
/// An entry that cannot be imported is in [`Import::rejected`] and loses no other. Nothing is read but `text`: no file that it names,
/// no environment.
///
/// ```
/// use portolan_import::{Format, import};
///
/// let text = r#"{"mcpServers": {
///   "notes": {"command": "npx", "args": ["-y", "@example/notes@1.2.0"], "env": {"NOTES_TOKEN": "${NOTES_TOKEN}"}},
///   "nothing": {}
/// }}"#;
/// let found = import(Format::Claude, text)?;
/// assert_eq!(found.servers[0].env["NOTES_TOKEN"].to_string(), "<<NOTES_TOKEN>>");
/// assert!(found.servers[0].inputs[0].secret);
/// assert_eq!(found.rejected[0].reason.to_string(), "no-launch");
/// # Ok::<(), portolan_import::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Syntax`] with line and column, [`Error::PlaceholderInVersion`], [`Error::TooLarge`] and [`Error::TooManyEntries`].
pub fn import(format: Format, text: &str) -> Result<Import, Error> {
    match format {
        Format::ServerJson | Format::RegistryList | Format::Mcpb | Format::DockerCatalog | Format::DockerSource => {
            document::read(format, text)
        }
        _ => client::read(format, text),
    }
}
