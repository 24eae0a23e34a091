//! Arguments, and inputs in texts.

use std::collections::BTreeSet;

use crate::{
    draft::{Draft, is_secret_name},
    model::Input,
    node::Node,
};

/// The names of inputs that a text may refer to besides its own variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) BTreeSet<String>);

/// Reads lists of arguments.
pub(super) struct Arguments;

impl Arguments {
    /// Returns the words of the arguments.
    pub(super) fn read(draft: &mut Draft, arguments: &[Node], names: &mut Names) -> Vec<String> {
        let mut words = Vec::new();
        for argument in arguments {
            match argument.text_of("name") {
                Some(name) if argument.text_of("type") != Some("positional") => {
                    words.push(name.to_owned());
                    words.extend(named(draft, argument, name, names));
                }
                _ => words.extend(positional(draft, argument, names)),
            }
        }
        words
    }
}

/// Returns the value of a named argument; none for a bare flag.
fn named(draft: &mut Draft, argument: &Node, name: &str, names: &mut Names) -> Option<String> {
    if let Some(value) = argument.text_of("value") {
        return Some(fill(draft, value, argument.get("variables"), names));
    }
    let says_value = [
        "default",
        "description",
        "choices",
        "placeholder",
        "isSecret",
        "is_secret",
    ];
    let has_value = says_value.iter().any(|key| argument.get(key).is_some());
    let has_format = argument.text_of("format").is_some_and(|format| format != "boolean");
    if !has_value && !has_format {
        return None;
    }
    Some(asked(draft, argument, name, names))
}

fn positional(draft: &mut Draft, argument: &Node, names: &mut Names) -> Option<String> {
    if let Some(value) = argument.text_of("value") {
        return Some(fill(draft, value, argument.get("variables"), names));
    }
    let hint = field(draft, argument, "valueHint").and_then(Node::text);
    let name = hint.or_else(|| argument.text_of("name"))?.to_owned();
    Some(asked(draft, argument, &name, names))
}

fn asked(draft: &mut Draft, argument: &Node, name: &str, names: &mut Names) -> String {
    names.0.insert(name.to_owned());
    let input = input_of(draft, argument, name, "argument");
    draft.input(input)
}

/// Reads an input.
pub(super) fn input_of(draft: &mut Draft, from: &Node, name: &str, source: &'static str) -> Input {
    let secret = field(draft, from, "isSecret").map(|flag| *flag == Node::Bool(true));
    let required = field(draft, from, "isRequired").map(|flag| *flag == Node::Bool(true));
    let repeated = field(draft, from, "isRepeated").map(|flag| *flag == Node::Bool(true));
    let text = |key| from.text_of(key).map(ToOwned::to_owned);
    Input {
        name: name.to_owned(),
        secret: secret.unwrap_or_else(|| is_secret_name(name)),
        required: required.unwrap_or(false),
        source,
        default: from.get("default").map(Node::to_json),
        choices: from.get("choices").map(Node::to_json),
        format: text("format").filter(|format| format != "string"),
        repeated: repeated.unwrap_or(false),
        title: text("title"),
        description: text("description"),
        ..Input::default()
    }
}

/// Fills `{x}` of a text from its variables. One that is not declared stays as it is.
pub(super) fn fill(draft: &mut Draft, text: &str, variables: Option<&Node>, names: &Names) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('}') else { break };
        let name = &rest[1..end];
        match variables.and_then(|variables| variables.get(name)) {
            Some(variable) => {
                let filled = match variable.text_of("value") {
                    Some(fixed) => fixed.to_owned(),
                    None => {
                        let input = input_of(draft, variable, name, "variable");
                        draft.input(input)
                    }
                };
                out.push_str(&filled);
                rest = &rest[end + 1..];
            }
            None if names.0.contains(name) => {
                out.push_str(&format!("<<{name}>>"));
                rest = &rest[end + 1..];
            }
            // Perhaps another one begins within.
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Returns a member by its name in camel case, or in snake case as older documents have it.
pub(super) fn field<'a>(draft: &mut Draft, from: &'a Node, camel: &str) -> Option<&'a Node> {
    if let Some(found) = from.get(camel) {
        return Some(found);
    }
    let mut snake = String::with_capacity(camel.len() + 4);
    for char in camel.chars() {
        if char.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    let found = from.get(&snake)?;
    if snake != camel {
        draft.warn("old-form");
    }
    Some(found)
}
