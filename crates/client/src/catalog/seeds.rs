//! The tools that registries gave, once for each content: servers of many installs list the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use portolan_core::{ServerName, ToolSet, ToolSetDigest};

use super::{
    cached::Derived,
    digests::{SeenTools, seen_of},
    tools::Tools,
};

/// A list of tools as catalogs share it.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) items: Arc<Tools>,
    pub(super) derived: Arc<Derived>,
    pub(super) seen: Arc<SeenTools>,
}

/// The tools of a registry that servers were seeded with and still hold, once for each content. It keeps none itself.
///
/// Servers that are given one value share equal lists, and what is computed from them: see
/// [`UpstreamServer::seed_tools`](crate::UpstreamServer::seed_tools).
#[derive(Debug, Default)]
pub struct ToolSeeds(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By name as well, because what is computed from a list names its server.
    by_content: HashMap<(ServerName, ToolSetDigest), WeakSeed>,
    /// The size at which those that are gone are removed.
    sweep_at: usize,
}

#[derive(Debug)]
struct WeakSeed {
    items: Weak<Tools>,
    derived: Weak<Derived>,
    seen: Weak<SeenTools>,
}

impl ToolSeeds {
    /// Returns the list of these tools of `server`, read once.
    pub(super) fn of(&self, server: &ServerName, tools: &ToolSet) -> Seed {
        let key = (server.clone(), tools.digest());
        let known = |known: &Known| known.by_content.get(&key).and_then(WeakSeed::upgrade);
        if let Some(seed) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return seed;
        }
        // Read without the lock. If two read at once, the first one's stays.
        let seed = Seed {
            items: Arc::new(Tools::new(tools.to_vec())),
            derived: Arc::default(),
            seen: Arc::new(seen_of(tools.iter())),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = known(&all) {
            return first;
        }
        if all.by_content.len() >= all.sweep_at {
            all.by_content.retain(|_, seed| seed.items.strong_count() > 0);
            all.sweep_at = 64.max(2 * all.by_content.len());
        }
        all.by_content.insert(key, seed.downgrade());
        seed
    }
}

impl Seed {
    fn downgrade(&self) -> WeakSeed {
        WeakSeed {
            items: Arc::downgrade(&self.items),
            derived: Arc::downgrade(&self.derived),
            seen: Arc::downgrade(&self.seen),
        }
    }
}

impl WeakSeed {
    fn upgrade(&self) -> Option<Seed> {
        Some(Seed {
            items: self.items.upgrade()?,
            derived: self.derived.upgrade()?,
            seen: self.seen.upgrade()?,
        })
    }
}
