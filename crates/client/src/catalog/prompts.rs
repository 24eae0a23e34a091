//! The prompts of a server.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::OmittedDefinition;
use portolan_wire::{method::Method, object::RawObject};
use serde_json::value::RawValue;

use super::{
    Listing,
    definition::{Kind, Sorted},
    digests, limits,
    sealed::{Cached, Lists, Read, Source},
};
use crate::server_notifications::ListKind;

/// The longest name in bytes, as with tools.
const NAME_BYTES: usize = 256;

/// A prompt, as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    name: Box<str>,
    definition: Bytes,
}

/// The prompts of one server, in its order. Of two with one name the first one is used.
#[derive(Debug, Default)]
pub struct Prompts {
    items: Vec<Prompt>,
    by_name: HashMap<Box<str>, usize>,
    omitted: Vec<OmittedDefinition>,
}

impl Prompt {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the definition, a raw JSON object.
    pub fn definition(&self) -> &Bytes {
        &self.definition
    }

    fn read(item: &RawValue) -> Result<Self, &'static str> {
        let definition = Bytes::copy_from_slice(item.get().as_bytes());
        let members = RawObject::parse(&definition).map_err(|_| "it is not a JSON object")?;
        let name = limits::name_in(&members, "name", NAME_BYTES).ok_or("its name is missing or not valid")?;
        Ok(Self { name, definition })
    }
}

impl Prompts {
    /// Returns the prompt of this name.
    pub fn get(&self, name: &str) -> Option<&Prompt> {
        self.by_name.get(name).map(|at| &self.items[*at])
    }

    /// Returns all prompts.
    pub fn iter(&self) -> impl Iterator<Item = &Prompt> {
        self.items.iter()
    }
}

impl Listing for Prompts {
    const METHOD: Method = Method::PromptsList;
    const MEMBER: &'static str = "prompts";
}

impl Read for Prompts {
    const CAPABILITY: Option<&'static str> = Some("prompts");
    const KIND: ListKind = ListKind::Prompts;

    fn cached<'a>(lists: &Lists<'a>) -> Cached<'a, Self> {
        Cached(&lists.0.prompts)
    }

    fn read(source: &Source<'_>, _: &Lists<'_>, items: Vec<Box<RawValue>>) -> Self {
        let (mut prompts, server) = (Self::default(), &source.0.spec().name);
        let mut sorted = Sorted::new(Kind::PROMPT, server.as_str());
        for item in items {
            let read = |item: Box<RawValue>| Prompt::read(&item).map_err(String::from);
            let Some(prompt) = sorted.take(item, &source.0.config().limits, read) else {
                continue;
            };
            if prompts.by_name.contains_key(&prompt.name) {
                tracing::warn!(%server, name = &*prompt.name, "prompt listed twice");
                continue;
            }
            prompts.by_name.insert(prompt.name.clone(), prompts.items.len());
            prompts.items.push(prompt);
        }
        prompts.omitted = sorted.omitted;
        prompts
    }

    fn omitted(&self) -> &[OmittedDefinition] {
        &self.omitted
    }

    fn is_same(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Prompt, &Prompt)| {
            one.name == other.name && digests::is_reordered(&one.definition, &other.definition)
        };
        self.items.len() == other.items.len() && self.items.iter().zip(&other.items).all(is_same)
    }

    fn is_identical(&self, other: &Self) -> bool {
        (&self.items, &self.omitted) == (&other.items, &other.omitted)
    }
}
