//! Inputs of a `server.json`: variables, arguments, environment variables, headers.

use super::text;
use crate::draft::{Draft, Place};
use crate::node::Node;
use crate::placeholder::{Found, enclosed};
use crate::{Input, InputSource, Reason, Text};

/// Returns the member by its name, or by the name that it had before (snake case). An older name sets `old`.
pub(super) fn member<'a>(node: &'a Node, key: &str, old: &mut bool) -> Option<&'a Node> {
    if let Some(node) = node.get(key) {
        return Some(node);
    }
    let snake = key.chars().fold(String::new(), |mut snake, c| {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        snake
    });
    let found = (snake != key).then(|| node.get(&snake)).flatten();
    *old |= found.is_some();
    found
}

/// Reads what the document says of an input.
pub(super) fn input(node: &Node, name: &str, source: InputSource, old: &mut bool) -> (Input, Option<bool>) {
    let mut input = Input::new(name, source);
    input.required = member(node, "isRequired", old).and_then(Node::bool).unwrap_or(false);
    input.default = node.get("default").and_then(Node::scalar).map(Into::into);
    input.description = text(node, "description").map(str::to_owned);
    input.format = text(node, "format")
        .filter(|format| *format != "string")
        .map(str::to_owned);
    input.repeated = member(node, "isRepeated", old).and_then(Node::bool).unwrap_or(false);
    let choices = node.get("choices").and_then(Node::list).unwrap_or_default();
    input.choices = choices.iter().filter_map(Node::scalar).collect();
    (input, member(node, "isSecret", old).and_then(Node::bool))
}

/// Finds `{x}` where `variables` declares x. Others are text.
pub(super) fn scan_variables<'a>(variables: Option<&'a Node>) -> impl Fn(&str) -> Option<(usize, Found)> + 'a {
    move |text| {
        let (name, length) = enclosed(text, "{", "}")?;
        let (input, secret) = input(variables?.get(name)?, name, InputSource::Variable, &mut false);
        Some((length, Found::input(input, secret)))
    }
}

/// Expands a fixed value, in which the variables of `node` stand.
pub(super) fn fixed(draft: &mut Draft, node: &Node, value: &str, place: Place<'_>) -> Result<Text, Reason> {
    draft.expand_quietly(value, place, &scan_variables(node.get("variables")))
}

/// Reads a list of environment variables or headers: names and texts.
pub(super) fn key_values(draft: &mut Draft, list: &[Node], source: InputSource, old: &mut bool) -> Result<(), Reason> {
    for node in list {
        let name = text(node, "name").ok_or_else(|| Reason::Missing("name".into()))?;
        let header = source == InputSource::Header;
        let place = if header { Place::Header(name) } else { Place::Env(name) };
        if let Some(value) = node.get("value").and_then(Node::scalar) {
            let text = fixed(draft, node, &value, place)?;
            if header {
                draft.header_text(name, text);
            } else {
                let text = draft.safe_env(name, text);
                draft.server.env.insert(name.to_owned(), text);
            }
            continue;
        }
        let (input, secret) = input(node, name, source, old);
        draft.add_found(input, secret, place);
        let values = if header {
            &mut draft.server.headers
        } else {
            &mut draft.server.env
        };
        values.insert(name.to_owned(), Text::input(name));
    }
    Ok(())
}

/// Reads the words of a list of arguments.
pub(super) fn arguments(draft: &mut Draft, list: &[Node], old: &mut bool) -> Result<Vec<Text>, Reason> {
    let mut words = Vec::new();
    for node in list {
        let named = text(node, "type").map_or_else(|| text(node, "name").is_some(), |kind| kind == "named");
        let value = node.get("value").and_then(Node::scalar);
        if named {
            let name = text(node, "name").ok_or_else(|| Reason::Missing("name".into()))?;
            words.push(Text::from(name));
            let asked = node.get("default").is_some() || node.get("description").is_some();
            match value {
                Some(value) => words.push(fixed(draft, node, &value, Place::Plain)?),
                // Without anything else it is a flag.
                None if asked => words.push(argument_input(draft, node, name, old)),
                None => {}
            }
            continue;
        }
        let hint = member(node, "valueHint", old).and_then(Node::text);
        match (value, hint) {
            (Some(value), _) => words.push(fixed(draft, node, &value, Place::Plain)?),
            (None, Some(hint)) => words.push(argument_input(draft, node, hint, old)),
            (None, None) => return Err(Reason::Missing("valueHint".into())),
        }
    }
    Ok(words)
}

fn argument_input(draft: &mut Draft, node: &Node, name: &str, old: &mut bool) -> Text {
    let (input, secret) = input(node, name, InputSource::Argument, old);
    draft.add_found(input, secret, Place::Plain);
    Text::input(name)
}
