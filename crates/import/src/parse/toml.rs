//! TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Lines, MAX_DEPTH, too_deep};
use crate::Error;
use crate::node::{Node, Value};

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Error::Syntax {
            line: lines.line(at),
            column: lines.column(at),
            message: error.message().to_owned(),
        }
    })?;
    Ok(Node {
        line: 1,
        value: members(table.into_inner(), &lines, 0)?,
    })
}

/// Returns the members in the order of the file; the parser's table is sorted by key.
fn members(table: DeTable<'_>, lines: &Lines, depth: usize) -> Result<Value, Error> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let members = entries
        .into_iter()
        .map(|(key, value)| Ok((key.into_inner().into_owned(), node(value, lines, depth + 1)?)));
    Ok(Value::Map(members.collect::<Result<_, Error>>()?))
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines, depth: usize) -> Result<Node, Error> {
    let line = lines.line(value.span().start);
    if depth > MAX_DEPTH {
        return Err(too_deep(line));
    }
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => Value::Number(match integer.radix() {
            10 => integer.as_str().replace('_', ""),
            radix => i64::from_str_radix(&integer.as_str().replace('_', ""), radix)
                .map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string()),
        }),
        DeValue::Float(float) => Value::Number(float.as_str().replace('_', "")),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| node(item, lines, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => members(table, lines, depth)?,
    };
    Ok(Node { line, value })
}
