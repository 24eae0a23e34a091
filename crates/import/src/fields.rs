//! The members of an entry, read with their types; what nobody reads is reported.

use std::collections::BTreeSet;

use crate::Reason;
use crate::node::{Node, Value};

/// The members of one map. It remembers which were read.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    members: &'a [(String, Node)],
    path: String,
    seen: BTreeSet<&'a str>,
}

/// Variables with their texts, and the names of those that are taken away.
pub(crate) type EnvMembers = (Vec<(String, String)>, Vec<String>);

impl<'a> Fields<'a> {
    /// Reads the members of `node`, which stands at `path` in the entry.
    pub(crate) fn new(node: &'a Node, path: &str) -> Result<Self, Reason> {
        let members = node.map().ok_or_else(|| match path {
            "" => Reason::NoLaunch,
            path => Reason::WrongType(path.to_owned()),
        })?;
        Ok(Self {
            node,
            members,
            path: path.to_owned(),
            seen: BTreeSet::new(),
        })
    }

    /// Returns whether the member is there and is not `null`. That does not read it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn wrong(&self, key: &str) -> Reason {
        Reason::WrongType(self.path(key))
    }

    /// Reads a member of any type; `null` counts as absent.
    pub(crate) fn node(&mut self, key: &str) -> Option<&'a Node> {
        let (name, node) = self.members.iter().find(|(name, _)| name == key)?;
        self.seen.insert(name.as_str());
        (!node.is_null()).then_some(node)
    }

    /// Marks members as read that need no reading.
    pub(crate) fn skip(&mut self, keys: &[&str]) {
        for key in keys {
            self.node(key);
        }
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<&'a str>, Reason> {
        match self.node(key) {
            None => Ok(None),
            Some(node) => node.text().map(Some).ok_or_else(|| self.wrong(key)),
        }
    }

    /// Reads text that must not be empty.
    pub(crate) fn required(&mut self, key: &str) -> Result<&'a str, Reason> {
        self.text(key)?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| Reason::Missing(self.path(key)))
    }

    pub(crate) fn owned(&mut self, key: &str) -> Result<Option<String>, Reason> {
        Ok(self.text(key)?.map(str::to_owned))
    }

    pub(crate) fn bool(&mut self, key: &str) -> Result<Option<bool>, Reason> {
        match self.node(key) {
            None => Ok(None),
            Some(node) => node.bool().map(Some).ok_or_else(|| self.wrong(key)),
        }
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<f64>, Reason> {
        match self.node(key) {
            None => Ok(None),
            Some(node) => node.number().map(Some).ok_or_else(|| self.wrong(key)),
        }
    }

    /// Reads a time in milliseconds, or in seconds if `unit` is 1,000.
    pub(crate) fn time(&mut self, key: &str, unit: f64) -> Result<Option<u64>, Reason> {
        match self.number(key)? {
            None => Ok(None),
            Some(number) if number < 0.0 => Err(self.wrong(key)),
            Some(number) => Ok(Some(millis(number * unit))),
        }
    }

    /// Reads a list of texts.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Reason> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let items = node.list().ok_or_else(|| self.wrong(key))?;
        let texts = items.iter().enumerate().map(|(index, item)| {
            let wrong = || Reason::WrongType(format!("{}[{index}]", self.path(key)));
            item.text().map(str::to_owned).ok_or_else(wrong)
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// Reads the members of a map.
    pub(crate) fn map(&mut self, key: &str) -> Result<&'a [(String, Node)], Reason> {
        match self.node(key) {
            None => Ok(&[]),
            Some(node) => node.map().ok_or_else(|| self.wrong(key)),
        }
    }

    /// Reads a map of texts. With `scalars`, numbers and booleans count as text.
    pub(crate) fn text_map(&mut self, key: &str, scalars: bool) -> Result<Vec<(String, String)>, Reason> {
        let members = self.map(key)?;
        let texts = members.iter().map(|(name, node)| {
            let text = if scalars {
                node.scalar()
            } else {
                node.text().map(str::to_owned)
            };
            let wrong = || Reason::WrongType(format!("{}.{name}", self.path(key)));
            Ok((name.clone(), text.ok_or_else(wrong)?))
        });
        texts.collect()
    }

    /// Reads a map of texts in which `null` takes a name away: the names with their texts, and those taken away.
    pub(crate) fn env(&mut self, key: &str) -> Result<EnvMembers, Reason> {
        let (mut set, mut unset) = (Vec::new(), Vec::new());
        for (name, node) in self.map(key)? {
            match (&node.value, node.scalar()) {
                (Value::Null, _) => unset.push(name.clone()),
                (_, Some(text)) => set.push((name.clone(), text)),
                _ => return Err(Reason::WrongType(format!("{}.{name}", self.path(key)))),
            }
        }
        Ok((set, unset))
    }

    pub(crate) fn fields(&mut self, key: &str) -> Result<Option<Self>, Reason> {
        let path = self.path(key);
        self.node(key).map(|node| Fields::new(node, &path)).transpose()
    }

    /// Returns the paths of the members that were not read, with their lines. Empty ones are left out: they say nothing.
    pub(crate) fn unread(&self) -> Vec<(String, u32)> {
        let empty = |node: &Node| match &node.value {
            Value::Null => true,
            Value::List(items) => items.is_empty(),
            Value::Map(members) => members.is_empty(),
            _ => false,
        };
        let unread = self
            .members
            .iter()
            .filter(|(name, node)| !self.seen.contains(name.as_str()) && !empty(node));
        unread.map(|(name, node)| (self.path(name), node.line)).collect()
    }
}

/// Rounds a number of milliseconds that is not negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn millis(number: f64) -> u64 {
    number.round() as u64
}
