//! JSON, with and without comments.

use std::collections::HashMap;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::{Language, Lines, MAX_DEPTH, too_deep};
use crate::Error;
use crate::node::{Node, Value, put};

pub(super) fn parse(language: Language, text: &str) -> Result<Node, Error> {
    if language == Language::Json {
        // serde_json is the stricter parser; the other one keeps the lines.
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| Error::Syntax {
            line: number(error.line()).max(1),
            column: number(error.column()),
            message: without_position(&error.to_string()),
        })?;
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options(language)).map_err(|error| Error::Syntax {
        line: number(error.line_display()),
        column: number(error.column_display()),
        message: error.kind().to_string(),
    })?;
    let lines = Lines::new(text);
    match parsed.value {
        Some(value) => node(value, &lines, 0),
        None => Ok(Node {
            line: 1,
            value: Value::Null,
        }),
    }
}

fn options(language: Language) -> ParseOptions {
    ParseOptions {
        allow_comments: language != Language::Json,
        allow_trailing_commas: language == Language::Jsonc,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn node(value: ast::Value<'_>, lines: &Lines, depth: usize) -> Result<Node, Error> {
    let line = lines.line(value.start());
    if depth > MAX_DEPTH {
        return Err(too_deep(line));
    }
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => Value::Number(literal.value.to_owned()),
        ast::Value::StringLit(literal) => Value::Text(literal.value.into_owned()),
        ast::Value::Array(array) => {
            let items = array.elements.into_iter().map(|item| node(item, lines, depth + 1));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => {
            let (mut members, mut places) = (Vec::new(), HashMap::new());
            for property in object.properties {
                let key = property.name.into_string();
                put(&mut members, &mut places, key, node(property.value, lines, depth + 1)?);
            }
            Value::Map(members)
        }
    };
    Ok(Node { line, value })
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or_default().to_owned()
}
