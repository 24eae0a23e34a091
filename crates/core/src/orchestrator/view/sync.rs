//! Takes records over by key, or all of them by pages, and tells the gateway what follows.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{Error, GatewayName, Key, Page, Publication, Record, RecordKind, Result, Revision, Versioned};

use super::{
    super::Orchestrator,
    State, View,
    change::{Plan, Touched},
};

/// How many records are read at once.
const AT_ONCE: usize = 8;

impl Orchestrator {
    /// Takes these records over as they are in the registry, and tells the gateway what follows.
    pub(in super::super) async fn sync(&self, keys: impl IntoIterator<Item = Key>) -> Result<()> {
        self.sync_whole(keys, &[]).await
    }

    /// The same, and publishes the gateways `whole` as a whole.
    pub(in super::super) async fn sync_whole(
        &self,
        keys: impl IntoIterator<Item = Key>,
        whole: &[GatewayName],
    ) -> Result<()> {
        let keys: Vec<Key> = keys.into_iter().collect();
        let _turn = self.view.turn.lock().await;
        if self.view.lock().revision.is_none() {
            self.load().await?;
        }
        let found = self.read(keys).await?;
        let plan = self.view.take(found, whole);
        self.tell(plan, whole).await
    }

    /// Takes changes of the feed over, up to `revision`.
    pub(super) async fn sync_feed(&self, keys: BTreeSet<Key>, revision: Revision) -> Result<()> {
        let _turn = self.view.turn.lock().await;
        if self.view.lock().revision.is_none() {
            self.load().await?;
        }
        let found = self.read(keys).await?;
        let plan = self.view.take(found, &[]);
        self.view.lock().revision = Some(revision);
        self.tell(plan, &[]).await
    }

    /// Reads the whole registry if that was not done yet, tells the gateway what it was not told, and returns the position
    /// from which the feed has to be read.
    pub(super) async fn sync_start(&self) -> Result<Revision> {
        let _turn = self.view.turn.lock().await;
        if self.view.lock().revision.is_none() {
            self.load().await?;
        }
        let plan = self.view.take(Vec::new(), &[]);
        let stale: Vec<_> = plan
            .whole
            .iter()
            .map(|publication| publication.gateway.name.clone())
            .collect();
        self.tell(plan, &stale).await?;
        Ok(self.view.lock().revision.unwrap_or_default())
    }

    /// Reads the whole registry anew.
    pub(in super::super) async fn reload(&self) -> Result<()> {
        let _turn = self.view.turn.lock().await;
        self.load().await
    }

    /// Publishes all that is known, and withdraws what is not.
    pub(in super::super) async fn publish_known(&self) -> Result<()> {
        let _turn = self.view.turn.lock().await;
        let published = self.parts.gateway.published().await?;
        let whole: Vec<_> = {
            let mut state = self.view.lock();
            let known: Vec<_> = state.gateways.keys().cloned().collect();
            state.stale.extend(known.into_iter().chain(published));
            state.stale.iter().cloned().collect()
        };
        let plan = self.view.take(Vec::new(), &whole);
        self.tell(plan, &whole).await
    }

    async fn read(&self, keys: impl IntoIterator<Item = Key>) -> Result<Vec<(Key, Option<Versioned<Record>>)>> {
        let keys = keys.into_iter().filter(|key| key.kind() != RecordKind::Token);
        stream::iter(keys.collect::<Vec<_>>())
            .map(|key| async move { self.parts.registry.get(&key).await.map(|found| (key, found)) })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Reads all records by pages, from a position in the feed that is before them.
    async fn load(&self) -> Result<()> {
        let revision = self.parts.registry.revision().await?;
        let mut fresh = State::default();
        for kind in [RecordKind::Server, RecordKind::Gateway, RecordKind::Install] {
            let mut page = Page::first();
            loop {
                let records = self.parts.registry.list(kind, page).await?;
                let Some(last) = records.last() else { break };
                page = Page::after(last.value.key());
                let known = self.view.lock();
                records.into_iter().for_each(|record| fresh.add(record, &known));
            }
        }
        fresh.index_ready();
        fresh.revision = Some(revision);
        let mut state = self.view.lock();
        fresh.stale = std::mem::take(&mut state.stale);
        fresh.failed = std::mem::take(&mut state.failed);
        fresh.stale.extend(state.gateways.keys().cloned());
        fresh.stale.extend(fresh.gateways.keys().cloned());
        *state = fresh;
        Ok(())
    }

    /// Tells the gateway what follows from the view.
    ///
    /// A gateway that could not be told is told again next time. It fails nothing but what concerns it: its error is
    /// returned the first time, and when it is among those `asked` for; otherwise it is logged.
    async fn tell(&self, plan: Plan, asked: &[GatewayName]) -> Result<()> {
        let gateway = &self.parts.gateway;
        let mut outcome = Ok(());
        let mut note = |name: &GatewayName, told: Result<()>| {
            let told = self.view.note(name, told, asked);
            outcome = std::mem::replace(&mut outcome, Ok(())).and(told);
        };
        for name in &plan.withdrawn {
            note(name, gateway.withdraw(name).await);
        }
        for publication in plan.whole {
            let name = publication.gateway.name.clone();
            note(&name, gateway.publish(publication).await);
        }
        let mut by_gateway = BTreeMap::<GatewayName, Vec<_>>::new();
        for change in plan.changes {
            by_gateway.entry(change.gateway().clone()).or_default().push(change);
        }
        for (name, changes) in by_gateway {
            let told = match gateway.apply(changes).await {
                Err(Error::NotFound { .. }) => self.publish_again(&name).await,
                told => told,
            };
            note(&name, told);
        }
        outcome
    }

    /// Publishes a gateway that was lost by the one who serves it.
    async fn publish_again(&self, name: &GatewayName) -> Result<()> {
        match self.view.publication(name) {
            Some(publication) => self.parts.gateway.publish(publication).await,
            None => self.parts.gateway.withdraw(name).await,
        }
    }
}

impl View {
    fn take(&self, found: Vec<(Key, Option<Versioned<Record>>)>, whole: &[GatewayName]) -> Plan {
        let mut state = self.lock();
        let mut touched = Touched::default();
        for (key, record) in found {
            state.take(&key, record, &mut touched);
        }
        state.stale.extend(whole.iter().cloned());
        state.plan(&touched)
    }

    fn publication(&self, name: &GatewayName) -> Option<Publication> {
        let state = self.lock();
        state.gateways.get(name).map(|held| state.publication(&held.value))
    }

    /// Notes whether a gateway was told, and returns the error if it has to be reported.
    fn note(&self, name: &GatewayName, told: Result<()>, asked: &[GatewayName]) -> Result<()> {
        let mut state = self.lock();
        let Err(error) = told else {
            state.stale.remove(name);
            state.failed.remove(name);
            return Ok(());
        };
        tracing::warn!(gateway = %name, %error, "a gateway cannot be published now; it is tried again");
        let is_first = state.failed.insert(name.clone());
        if is_first || asked.contains(name) {
            Err(error)
        } else {
            Ok(())
        }
    }
}
