//! The servers behind one catalogue entry: one for each install, created when it is first used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_client::{Client, ToolSeeds, UpstreamServer};
use portolan_core::{
    Endpoint, Error, HttpEndpoint, Install, InstallName, InstallSet, Result, RunSpec, Runtime, ServerName, ServerSpec,
    Source, StatusEvent,
};
use rpds::HashTrieMapSync;

/// The servers of one catalogue entry that were used, with their connections and caches. They outlive publications.
///
/// An install that nobody has called yet has none.
#[derive(Debug)]
pub(crate) struct EntryUpstreams {
    spec: Arc<ServerSpec>,
    client: Client,
    runtime: Option<Arc<dyn Runtime>>,
    /// Servers that were created elsewhere.
    adopted: Arc<Adopted>,
    used: ArcSwap<HashTrieMapSync<InstallName, Arc<UpstreamServer>>>,
    /// The tools that they share.
    seeds: ToolSeeds,
}

/// Servers that were created elsewhere, by their installs.
type Adopted = Mutex<HashMap<InstallName, Arc<UpstreamServer>>>;

/// The servers of all catalogue entries that are published.
#[derive(Debug)]
pub(crate) struct Upstreams {
    client: Client,
    runtime: Option<Arc<dyn Runtime>>,
    adopted: Arc<Adopted>,
    entries: Mutex<HashMap<ServerName, Weak<EntryUpstreams>>>,
}

impl Upstreams {
    pub(crate) fn new(runtime: Option<Arc<dyn Runtime>>, client: Client) -> Self {
        Self {
            client,
            runtime,
            adopted: Arc::default(),
            entries: Mutex::default(),
        }
    }

    /// Registers a server that was created elsewhere, so that it is found under its install.
    pub(crate) fn adopt(&self, install: InstallName, upstream: &Arc<UpstreamServer>) {
        lock(&self.adopted).insert(install, upstream.clone());
    }

    /// Returns the servers of an entry: the existing ones, unless they would be reached in another way.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a self-hosted server without a runtime.
    pub(crate) fn of(&self, spec: &Arc<ServerSpec>, installs: &InstallSet) -> Result<Arc<EntryUpstreams>> {
        self.check(spec, installs.iter())?;
        let mut entries = lock(&self.entries);
        if let Some(known) = entries.get(&spec.name).and_then(Weak::upgrade)
            && known.spec.runs_like(spec)
        {
            return Ok(known);
        }
        let created = Arc::new(EntryUpstreams {
            spec: spec.clone(),
            client: self.client.clone(),
            runtime: self.runtime.clone(),
            adopted: self.adopted.clone(),
            used: ArcSwap::default(),
            seeds: ToolSeeds::default(),
        });
        entries.retain(|_, entry| entry.strong_count() > 0);
        entries.insert(spec.name.clone(), Arc::downgrade(&created));
        Ok(created)
    }

    /// Checks that these installs of a server can be reached.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a self-hosted server without a runtime.
    pub(crate) fn check<'a>(
        &self,
        spec: &ServerSpec,
        mut installs: impl Iterator<Item = &'a Arc<Install>>,
    ) -> Result<()> {
        if matches!(spec.source, Source::Remote { .. }) || self.runtime.is_some() {
            return Ok(());
        }
        let adopted = lock(&self.adopted);
        if installs.all(|install| adopted.contains_key(&install.name)) {
            return Ok(());
        }
        Err(Error::invalid(
            spec.name.as_str(),
            "is self-hosted, and this gateway has no runtime to run it; give it one",
        ))
    }
}

impl EntryUpstreams {
    /// Returns the server of an install, created on first use with the tools that the registry knows.
    pub(crate) fn get(&self, install: &Install) -> Arc<UpstreamServer> {
        if let Some(known) = self.used.load().get(&install.name) {
            return known.clone();
        }
        let created = self.create(install);
        let used = self.used.rcu(|used| match used.contains_key(&install.name) {
            true => HashTrieMapSync::clone(used),
            false => used.insert(install.name, created.clone()),
        });
        // Another caller may have been first.
        used.get(&install.name).cloned().unwrap_or(created)
    }

    fn create(&self, install: &Install) -> Arc<UpstreamServer> {
        let adopted = lock(&self.adopted).get(&install.name).cloned();
        let upstream = adopted.unwrap_or_else(|| {
            let (client, spec) = (&self.client, self.spec.clone());
            Arc::new(match (&self.spec.source, &self.runtime) {
                (Source::Remote { url }, _) => UpstreamServer::remote(client, spec, HttpEndpoint::new(url.clone())),
                (_, Some(runtime)) => UpstreamServer::running(client, spec, install.name, runtime.clone()),
                // Such an install is not published: see `Upstreams::check`.
                (_, None) => UpstreamServer::running(client, spec, install.name, Arc::new(NoRuntime)),
            })
        });
        upstream.seed_tools(&install.tools, &self.seeds);
        upstream
    }

    /// Tells the servers that were used which tools the registry knows now.
    pub(crate) fn seed(&self, installs: &InstallSet) {
        let used = self.used.load();
        for (name, upstream) in used.iter() {
            if let Some(install) = installs.get(name) {
                upstream.seed_tools(&install.tools, &self.seeds);
            }
        }
    }

    /// The same for one install.
    pub(crate) fn seed_one(&self, install: &Install) {
        if let Some(upstream) = self.used.load().get(&install.name) {
            upstream.seed_tools(&install.tools, &self.seeds);
        }
    }

    /// Returns the installs whose servers were used.
    pub(crate) fn used(&self) -> Vec<InstallName> {
        self.used.load().keys().copied().collect()
    }

    /// Drops the servers of these installs. Calls under way keep theirs.
    pub(crate) fn forget(&self, names: &[InstallName]) {
        if names.is_empty() {
            return;
        }
        self.used.rcu(|used| {
            let mut left = HashTrieMapSync::clone(used);
            for name in names {
                left.remove_mut(name);
            }
            left
        });
    }
}

/// A runtime that runs nothing.
#[derive(Debug)]
struct NoRuntime;

#[async_trait]
impl Runtime for NoRuntime {
    async fn ensure(&self, name: &InstallName, _: &RunSpec) -> Result<()> {
        Err(Error::not_found("runtime of", name))
    }

    async fn remove(&self, _: &InstallName) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<InstallName>> {
        Ok(Vec::new())
    }

    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        Err(Error::not_found("runtime of", name))
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        stream::pending().boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
