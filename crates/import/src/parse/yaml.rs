//! YAML.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Budget, DuplicateKeyPolicy, Options, RenderOptions, SnippetMode, Spanned};

use super::MAX_DEPTH;
use crate::node::{Node, Value, put};
use crate::{Error, MAX_BYTES};

pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let parsed: Parsed = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let (line, column) = error
            .location()
            .map_or((1, 0), |at| (position(at.line()), position(at.column())));
        let mut plain = RenderOptions::default();
        plain.snippets = SnippetMode::Off;
        let message = error.without_snippet().render_with_options(plain).replace('\n', " ");
        Error::Syntax {
            line,
            column,
            message: message.split(" at line ").next().unwrap_or_default().to_owned(),
        }
    })?;
    Ok(Node {
        line: 1,
        value: parsed.0,
    })
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_nodes = 200_000;
    budget.max_events = 600_000;
    budget.max_anchors = 1_000;
    budget.max_aliases = 1_000;
    budget.max_merge_keys = 1_000;
    budget.max_documents = 1;
    budget.max_recorded_anchor_events = 100_000;
    budget.max_total_scalar_bytes = 4 * MAX_BYTES;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 100_000;
    options.alias_limits.max_replay_stack_depth = 8;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    // `yes` and `on` are text in YAML 1.2, which the clients' parsers read.
    options.strict_booleans = true;
    options
}

fn position(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or(u32::MAX)
}

struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Self)
    }
}

struct NodeVisitor;

fn node(spanned: Spanned<Parsed>) -> Node {
    Node {
        line: position(spanned.referenced.line()),
        value: spanned.value.0,
    }
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Text(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Parsed>>()? {
            list.push(node(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut members, mut places) = (Vec::new(), HashMap::new());
        while let Some((key, value)) = entries.next_entry::<String, Spanned<Parsed>>()? {
            put(&mut members, &mut places, key, node(value));
        }
        Ok(Value::Map(members))
    }
}
