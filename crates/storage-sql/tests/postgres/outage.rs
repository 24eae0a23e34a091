//! A server that goes away under load.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use portolan_core::{Key, Page, Precondition, RecordKind, Registry, Revision};
use portolan_storage_sql::{SqlConfig, SqlStore};
use sqlx::{Connection, Executor};

use crate::support::{Instance, open_at, raw, server, server_key, told, until_done};

const WRITERS: usize = 8;

/// Puts records with numbered names until it is told to stop, and returns those that were acknowledged.
async fn write(store: SqlStore, writer: usize, stop: Arc<AtomicBool>) -> (Vec<String>, usize) {
    let (mut acknowledged, mut failures) = (Vec::new(), 0);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("w{writer}-{number}");
        match Registry::put(&store, server(&name), Precondition::Absent).await {
            Ok(_) => acknowledged.push(name),
            Err(error) => {
                assert!(error.is_retryable(), "{}", told(&error));
                failures += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    (acknowledged, failures)
}

/// Follows the feed until it has seen `last`, over failures.
async fn follow(store: SqlStore, last: Key) -> HashSet<Key> {
    let (mut seen, mut since) = (HashSet::new(), Revision(0));
    while !seen.contains(&last) {
        let mut feed = store.changes(since);
        while let Some(change) = feed.next().await {
            match change {
                Ok(change) => {
                    assert!(change.revision > since, "the feed goes forward");
                    since = change.revision;
                    seen.insert(change.key);
                    if seen.contains(&last) {
                        break;
                    }
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{}", told(&error));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    break;
                }
            }
        }
    }
    seen
}

/// Runs writers and followers while `harm` is done, then checks that nothing which was acknowledged is gone or unseen.
async fn survives(instance: &Instance, harm: impl AsyncFnOnce(&Instance)) {
    let config = SqlConfig::new();
    let store = open_at(&instance.url(), &config).await;
    let other = open_at(&instance.url(), &config).await;
    let end = server_key("the-end");
    let followers = [store.clone(), other.clone()].map(|store| tokio::spawn(follow(store, end.clone())));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = if writer % 2 == 0 { &store } else { &other };
            tokio::spawn(write(store.clone(), writer, Arc::clone(&stop)))
        })
        .collect();

    harm(instance).await;
    stop.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut failures) = (Vec::new(), 0);
    for writer in writers {
        let (names, failed) = writer.await.expect("retryable errors only");
        acknowledged.extend(names);
        failures += failed;
    }
    assert!(failures > 0, "the harm was felt");
    until_done!(Registry::put(&store, server("the-end"), Precondition::None));

    let stored = all_servers(&store).await;
    for name in &acknowledged {
        assert!(stored.contains(&server_key(name)), "{name} was acknowledged");
    }
    for follower in followers {
        let seen = follower.await.expect("it follows");
        let missed: Vec<_> = stored.difference(&seen).collect();
        assert!(missed.is_empty(), "the feed missed {missed:?}");
    }
}

async fn all_servers(store: &SqlStore) -> HashSet<Key> {
    let (mut all, mut page) = (HashSet::new(), Page::first());
    loop {
        let found = Registry::list(store, RecordKind::Server, page).await.expect("list");
        let Some(last) = found.last() else {
            return all;
        };
        page = Page::after(last.value.key());
        all.extend(found.into_iter().map(|found| found.value.key()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_lose_nothing() {
    let instance = Instance::start();
    survives(&instance, async |instance| {
        let mut killer = raw(&instance.url()).await;
        for _ in 0..20 {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
            killer.execute(kill).await.expect("killed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        killer.close().await.expect("closed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_server_loses_nothing() {
    let instance = Instance::start();
    survives(&instance, async |instance| {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            instance.restart();
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    })
    .await;
}
