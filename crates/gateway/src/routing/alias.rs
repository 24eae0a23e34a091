//! Names that a gateway gives to single tools and prompts.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::{GatewaySpec, ServerName};
use portolan_wire::object::{self, RawObject};

/// The aliases of one gateway, both ways.
#[derive(Debug)]
pub(crate) struct Aliases {
    by_name: HashMap<Box<str>, (ServerName, Box<str>)>,
    by_own: HashMap<ServerName, HashMap<Box<str>, Box<str>>>,
}

impl Aliases {
    /// Those of a spec; none for most.
    pub(crate) fn of(spec: &GatewaySpec) -> Option<Box<Self>> {
        if spec.aliases.is_empty() {
            return None;
        }
        let mut aliases = Self {
            by_name: HashMap::new(),
            by_own: HashMap::new(),
        };
        for alias in &spec.aliases {
            let (name, own) = (alias.name.as_str(), alias.own.as_str());
            let named = aliases.by_own.entry(alias.server.clone()).or_default();
            if aliases.by_name.contains_key(name) || named.contains_key(own) {
                tracing::warn!(gateway = %spec.name, name, "an alias is there twice; the first one counts");
                continue;
            }
            named.insert(own.into(), name.into());
            aliases.by_name.insert(name.into(), (alias.server.clone(), own.into()));
        }
        Some(Box::new(aliases))
    }

    /// The server and its own name of what clients call `name`.
    pub(crate) fn meant(&self, name: &str) -> Option<(&ServerName, &str)> {
        let (server, own) = self.by_name.get(name)?;
        Some((server, own))
    }

    /// What clients call `own` of `server`, and by no other name.
    pub(crate) fn name_of(&self, server: &ServerName, own: &str) -> Option<&str> {
        Some(self.by_own.get(server)?.get(own)?)
    }

    /// Whether something of another server is called like this.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

/// A definition under another name.
pub(crate) fn renamed(definition: &Bytes, name: &str) -> Bytes {
    match RawObject::parse_checked(definition) {
        Ok(mut members) => {
            members.set("name", object::quote(name));
            members.to_bytes()
        }
        Err(_) => definition.clone(),
    }
}
