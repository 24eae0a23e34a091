//! The prompts of a server.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_wire::{method::Method, object::RawObject};
use serde_json::value::RawValue;

use super::{
    Listing, limits,
    sealed::{Cached, Lists, Read, Source},
};
use crate::server_notifications::ListKind;

/// The longest name that is taken, as with tools.
const NAME_BYTES: usize = 256;

/// A prompt as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    name: Box<str>,
    definition: Bytes,
}

/// The prompts of one server, in its order. Of two with one name the first counts.
#[derive(Debug, Default)]
pub struct Prompts {
    items: Vec<Prompt>,
    by_name: HashMap<Box<str>, usize>,
}

impl Prompt {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its definition, a raw JSON object.
    pub fn definition(&self) -> &Bytes {
        &self.definition
    }

    fn read(item: &RawValue) -> Result<Self, &'static str> {
        let definition = Bytes::copy_from_slice(item.get().as_bytes());
        let members = RawObject::parse(&definition).map_err(|_| "it is no object")?;
        let name = limits::name_in(&members, "name", NAME_BYTES).ok_or("its name cannot be used")?;
        Ok(Self { name, definition })
    }
}

impl Prompts {
    /// The prompt of this name.
    pub fn get(&self, name: &str) -> Option<&Prompt> {
        self.by_name.get(name).map(|at| &self.items[*at])
    }

    /// All prompts.
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
        let mut prompts = Self::default();
        for item in items {
            let prompt = limits::check(&item, &source.0.config().limits).and_then(|()| Prompt::read(&item));
            match prompt {
                Ok(prompt) if !prompts.by_name.contains_key(&prompt.name) => {
                    prompts.by_name.insert(prompt.name.clone(), prompts.items.len());
                    prompts.items.push(prompt);
                }
                Ok(prompt) => {
                    tracing::warn!(server = %source.0.spec().name, name = &*prompt.name, "a prompt is listed twice; the first one counts");
                }
                Err(problem) => tracing::warn!(server = %source.0.spec().name, problem, "a prompt is left out"),
            }
        }
        prompts
    }

    fn is_same(&self, other: &Self) -> bool {
        self.items == other.items
    }
}
