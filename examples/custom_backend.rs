//! A registry of one's own, proven: `cargo test --example custom_backend` runs one test for each promise of the trait.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::stream::{self, BoxStream, StreamExt};
use portolan::core::{
    Change, Error, Key, Kind, Page, Precondition, Record, Registry, Result, Revision, Version, Versioned,
};

/// Keeps everything in a sorted map. The revision of the last change is its record's version.
#[derive(Debug, Default)]
struct MyRegistry {
    state: Mutex<State>,
    changed: tokio::sync::watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Key, Versioned<Record>>,
    changes: BTreeMap<Revision, Key>,
    revision: u64,
}
