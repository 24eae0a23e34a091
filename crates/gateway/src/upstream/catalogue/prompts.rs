//! The prompts of a server.

use bytes::Bytes;
use portolan_core::ServerName;
use portolan_wire::{
    method::Method,
    object::{self, RawObject},
};
use serde_json::value::RawValue;

use super::{
    super::{ListKind, UpstreamServer},
    Cached, Catalogue, Listing,
    resources::{self, name_in},
};
use crate::exposure::{self, ByName, Named};

/// The longest name that is taken, as with tools.
const NAME_BYTES: usize = 256;

/// A prompt as it is listed and asked for.
#[derive(Debug)]
pub(crate) struct Prompt {
    own: Box<str>,
    prefixed: Box<str>,
    definition: Bytes,
    prefixed_definition: Bytes,
}

/// The prompts of one server, by their names.
pub(crate) type Prompts = ByName<Prompt>;

impl Named for Prompt {
    fn own(&self) -> &str {
        &self.own
    }

    fn prefixed(&self) -> &str {
        &self.prefixed
    }

    fn plain_definition(&self) -> &Bytes {
        &self.definition
    }

    fn prefixed_definition(&self) -> &Bytes {
        &self.prefixed_definition
    }
}

impl Listing for Prompts {
    const METHOD: Method = Method::PromptsList;
    const MEMBER: &'static str = "prompts";
    const CAPABILITY: Option<&'static str> = Some("prompts");

    const LIST: ListKind = ListKind::Prompts;

    fn cached(catalogue: &Catalogue) -> &Cached<Self> {
        &catalogue.prompts
    }

    fn read(link: &UpstreamServer, items: Vec<Box<RawValue>>) -> Self {
        let (server, limits) = (&link.server.name, &link.config().limits);
        let mut prompts = Self::default();
        for item in items {
            let prompt = resources::fits(&item, limits).and_then(|()| read(server, &item));
            match prompt {
                Ok(prompt) => prompts.add(server, prompt),
                Err(problem) => tracing::warn!(%server, problem, "a prompt is left out"),
            }
        }
        prompts
    }

    fn is_same(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

fn read(server: &ServerName, item: &RawValue) -> Result<Prompt, &'static str> {
    let definition = Bytes::copy_from_slice(item.get().as_bytes());
    let mut members = RawObject::parse(&definition).map_err(|_| "it is no object")?;
    let own = name_in(&members, "name", NAME_BYTES).ok_or("its name cannot be used")?;
    let prefixed = exposure::prefixed(server, &own);
    members.set("name", object::quote(&prefixed));
    Ok(Prompt {
        own,
        prefixed,
        prefixed_definition: members.to_bytes(),
        definition,
    })
}
