//! Values of all the languages that files are written in, with their lines.

/// A value and the line that it begins on.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A number as the file writes it, where the language keeps that.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// The members in the file's order. No key is there twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match &self.value {
            Value::Number(text) => text
                .replace('_', "")
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn map(&self) -> Option<&[(String, Self)]> {
        match &self.value {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Returns the member `key` of a map; `None` for `null` and for anything that is no map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let (_, node) = self.map()?.iter().find(|(name, _)| name == key)?;
        (!node.is_null()).then_some(node)
    }

    /// Returns text, numbers and booleans as text.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// Returns the value as JSON. Numbers that JSON cannot hold become text.
    pub(crate) fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(members) => Json::Object(members.iter().map(|(key, node)| (key.clone(), node.json())).collect()),
        }
    }
}

/// Puts a member into a map; a later one of the same key replaces the earlier one, in its place, as JavaScript does.
pub(crate) fn put(
    members: &mut Vec<(String, Node)>,
    places: &mut std::collections::HashMap<String, usize>,
    key: String,
    node: Node,
) {
    match places.get(&key) {
        Some(&place) => members[place].1 = node,
        None => {
            places.insert(key.clone(), members.len());
            members.push((key, node));
        }
    }
}
