//! Documents of registries and catalogues.

mod docker;
mod docker_text;
mod mcpb;
mod registry;
mod server_json;
mod server_packages;
mod server_variables;

use crate::client::Reader;
use crate::node::Node;
use crate::parse::{Language, parse};
use crate::{Error, Format, Import};

pub(crate) fn read(format: Format, text: &str) -> Result<Import, Error> {
    let language = match format {
        Format::DockerCatalog | Format::DockerSource => Language::Yaml,
        _ => Language::Json,
    };
    let root = parse(language, text)?;
    if root.map().is_none() {
        return Err(Error::shape(root.line, "the outermost value is not a map"));
    }
    let mut reader = Reader::new(format);
    match format {
        Format::ServerJson => registry::document(&mut reader, &root)?,
        Format::RegistryList => registry::list(&mut reader, &root)?,
        Format::Mcpb => mcpb::read(&mut reader, &root)?,
        Format::DockerCatalog => docker::catalog(&mut reader, &root)?,
        _ => docker::source(&mut reader, &root)?,
    }
    Ok(reader.finish())
}

/// Returns the text of the member `key`.
fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key).and_then(Node::text)
}
