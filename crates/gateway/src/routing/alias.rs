//! Aliases: names that a gateway gives to individual tools and prompts.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::{GatewaySpec, ServerName};
use portolan_wire::object::{self, RawObject};

/// The aliases of one gateway, in both directions.
#[derive(Debug)]
pub(crate) struct Aliases {
    by_name: HashMap<Box<str>, (ServerName, Box<str>)>,
    by_own: HashMap<ServerName, HashMap<Box<str>, Box<str>>>,
}

impl Aliases {
    /// Returns the aliases of a spec; `None` if it has none.
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
                tracing::warn!(gateway = %spec.name, name, "an alias is defined twice; the first one is used");
                continue;
            }
            named.insert(own.into(), name.into());
            aliases.by_name.insert(name.into(), (alias.server.clone(), own.into()));
        }
        Some(Box::new(aliases))
    }

    /// Returns the server and its own name of the alias `name`.
    pub(crate) fn target(&self, name: &str) -> Option<(&ServerName, &str)> {
        let (server, own) = self.by_name.get(name)?;
        Some((server, own))
    }

    /// Returns the alias of `own` of `server`, which replaces its other names.
    pub(crate) fn name_of(&self, server: &ServerName, own: &str) -> Option<&str> {
        Some(self.by_own.get(server)?.get(own)?)
    }

    /// Returns whether `name` is an alias.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

/// Returns the definition with another name.
pub(crate) fn renamed(definition: &Bytes, name: &str) -> Bytes {
    match RawObject::parse_checked(definition) {
        Ok(mut members) => {
            members.set("name", object::quote(name));
            members.to_bytes()
        }
        Err(_) => definition.clone(),
    }
}
