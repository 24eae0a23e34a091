//! The configuration files of clients.

mod claude;
mod cline;
mod codex;
mod continue_config;
mod copilot;
mod cursor;
mod gemini;
mod goose;
mod launch;
mod librechat;
mod opencode;
mod reader;
mod roo;
mod vscode;
mod windsurf;
mod zed;

use crate::parse::{Language, parse};
use crate::{Error, Format, Import};
pub(crate) use reader::Reader;

pub(crate) fn read(format: Format, text: &str) -> Result<Import, Error> {
    let language = match format {
        Format::Vscode | Format::Cursor | Format::Windsurf | Format::Zed | Format::Opencode | Format::Copilot => {
            Language::Jsonc
        }
        Format::Gemini => Language::JsonComments,
        Format::Codex => Language::Toml,
        Format::Continue if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') => Language::Json,
        Format::Goose | Format::Continue | Format::Librechat => Language::Yaml,
        _ => Language::Json,
    };
    let root = parse(language, text)?;
    if root.map().is_none() && !root.is_null() {
        return Err(Error::shape(root.line, "the outermost value is not a map"));
    }
    let mut reader = Reader::new(format);
    match format {
        Format::Vscode => vscode::read(&mut reader, &root),
        Format::Cursor => cursor::read(&mut reader, &root),
        Format::Windsurf => windsurf::read(&mut reader, &root),
        Format::Cline => cline::read(&mut reader, &root),
        Format::Roo => roo::read(&mut reader, &root),
        Format::Gemini => gemini::read(&mut reader, &root),
        Format::Codex => codex::read(&mut reader, &root),
        Format::Zed => zed::read(&mut reader, &root),
        Format::Opencode => opencode::read(&mut reader, &root),
        Format::Goose => goose::read(&mut reader, &root),
        Format::Continue => continue_config::read(&mut reader, &root),
        Format::Librechat => librechat::read(&mut reader, &root),
        Format::Copilot => copilot::read(&mut reader, &root),
        _ => claude::read(&mut reader, &root),
    }?;
    Ok(reader.finish())
}
