//! Inputs as the placeholders of clients.

use super::output::Output;
use super::{Secrets, unwritable};
use crate::{Error, Format, Input, InputSource, Part, Server, Text};

/// Writes a text with placeholders.
pub(super) fn text(format: Format, server: &Server, text: &Text, secrets: Secrets) -> Result<String, Error> {
    let mut written = String::new();
    for part in text.parts() {
        match part {
            Part::Literal(literal) => written.push_str(literal),
            Part::Input(name) => {
                let input = server.input(name);
                let input =
                    input.ok_or_else(|| unwritable(&server.name, format!("the input {name:?} is not declared")))?;
                written.push_str(&one(format, server, input, secrets)?);
            }
        }
    }
    Ok(written)
}

/// Returns the name of an environment variable for an input.
pub(super) fn variable(input: &Input) -> String {
    let mut name: String = input
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    // A literal of the file was named by its server; as a variable it has the usual form.
    if name == input.name {
        name
    } else {
        name.to_ascii_uppercase()
    }
}

fn one(format: Format, server: &Server, input: &Input, secrets: Secrets) -> Result<String, Error> {
    if let (Secrets::InClear, Some(value)) = (secrets, &input.value) {
        return Ok(value.reveal().to_owned());
    }
    let name = variable(input);
    let default = input.default.as_ref().and_then(|default| default.as_str());
    let client = input.source == InputSource::Client;
    Ok(match format {
        Format::Vscode if input.source == InputSource::Prompt => format!("${{input:{}}}", input.name),
        Format::Vscode | Format::Cursor | Format::Roo if client => format!("${{{}}}", input.name),
        Format::Vscode | Format::Cursor | Format::Windsurf | Format::Cline | Format::Roo => format!("${{env:{name}}}"),
        Format::Opencode if input.source == InputSource::File => format!("{{file:{}}}", input.name),
        Format::Opencode => format!("{{env:{name}}}"),
        Format::Continue if input.secret => format!("${{{{ secrets.{name} }}}}"),
        Format::Continue => format!("${{{{ inputs.{name} }}}}"),
        Format::Librechat => match (input.source, input.name.strip_prefix("caller.")) {
            (InputSource::User, _) => format!("{{{{{name}}}}}"),
            (InputSource::Caller, Some(field)) => format!("{{{{LIBRECHAT_USER_{}}}}}", field.to_ascii_uppercase()),
            _ => format!("${{{name}}}"),
        },
        Format::Claude | Format::Gemini | Format::Copilot => match default {
            Some(default) if !input.secret && !default.contains('}') => format!("${{{name}:-{default}}}"),
            _ => format!("${{{name}}}"),
        },
        Format::Goose => format!("${{{name}}}"),
        // These clients put nothing in the place of a text.
        Format::Codex | Format::Zed => format!("<{name}>"),
        _ => return Err(unwritable(&server.name, format!("{format} is no client's file"))),
    })
}

/// Declares an input of VS Code.
pub(super) fn declaration(input: &Input) -> Output {
    let mut members: Vec<(&str, Output)> = Vec::new();
    let kind = if input.choices.is_empty() {
        "promptString"
    } else {
        "pickString"
    };
    members.push(("type", kind.into()));
    members.push(("id", input.name.as_str().into()));
    if let Some(description) = &input.description {
        members.push(("description", description.as_str().into()));
    }
    if !input.choices.is_empty() {
        members.push(("options", Output::texts(&input.choices)));
    }
    if let Some(default) = input
        .default
        .as_ref()
        .and_then(|default| default.as_str())
        .filter(|_| !input.secret)
    {
        members.push(("default", default.into()));
    }
    members.push(("password", Output::Bool(input.secret)));
    Output::map(members)
}
