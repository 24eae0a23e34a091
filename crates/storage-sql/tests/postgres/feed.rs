//! The change feed over many writers, readers that begin again, and a server that does.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use portolan_core::{Precondition, Registry, Revision};
use portolan_storage_sql::{SqlConfig, SqlStore};
use sqlx::{Connection, Executor};

use crate::support::{Address, Instance, Schema, open_at, put_server, raw, server, server_key, told, until_done};

const WRITERS: usize = 8;
const CHANGES: usize = 100_000;
/// A reader opens a new store and goes on from its last revision after so many changes.
const READER_RESTARTS: usize = 10_000;

#[tokio::test]
async fn change_of_another_process_is_followed() {
    for address in [Address::Direct, Address::OldPooler, Address::NewPooler] {
        let schema = Schema::new(address);
        let (one, other) = (schema.store().await, schema.store().await);
        let (mut first, mut second) = (one.changes(Revision(0)), one.changes(Revision(0)));
        for name in ["a", "b", "c"] {
            put_server(&other, name).await.expect("put");
            for feed in [&mut first, &mut second] {
                let change = feed.next().await.expect("goes on").expect("a change");
                assert_eq!(change.key, server_key(name));
            }
        }
    }
}

#[tokio::test]
async fn followers_share_one_reader() {
    let schema = Schema::new(Address::Direct);
    let store = schema.store().await;
    let mut feeds: Vec<_> = (0..50).map(|_| store.changes(Revision(0))).collect();
    put_server(&store, "a").await.expect("put");
    for feed in &mut feeds {
        feed.next().await.expect("goes on").expect("a change");
    }
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query = $1";
    let count: i64 = sqlx::query_scalar(listening)
        .bind(format!("LISTEN \"{}.news\"", schema.name))
        .fetch_one(&mut raw(&schema.address.url()).await)
        .await
        .expect("count");
    assert_eq!(count, 1);
}

/// The process on the server that a store listens through.
async fn listening(url: &str, channel: &str) -> Option<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE query = $1 ORDER BY backend_start DESC LIMIT 1";
    sqlx::query_scalar(sql)
        .bind(format!("LISTEN \"{channel}\""))
        .fetch_optional(&mut raw(url).await)
        .await
        .expect("asked")
}

fn signal(name: &str, pid: i32) {
    let status = std::process::Command::new("kill")
        .args([name, &pid.to_string()])
        .status();
    assert!(status.expect("it runs").success());
}

/// A peer that vanishes without a word: the connection stays open, and nothing comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connection_is_replaced() {
    let instance = Instance::start();
    let url = instance.url();
    let (one, other) = (
        open_at(&url, &SqlConfig::new()).await,
        open_at(&url, &SqlConfig::new()).await,
    );
    let mut feed = one.changes(Revision(0));
    put_server(&other, "first").await.expect("put");
    feed.next().await.expect("goes on").expect("a change");
    let silent = loop {
        match listening(&url, "portolan.news").await {
            Some(pid) => break pid,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    signal("-STOP", silent);
    for number in 0.. {
        if listening(&url, "portolan.news").await != Some(silent) {
            break;
        }
        let name = format!("s{number}");
        put_server(&other, &name).await.expect("put");
        let change = feed.next().await.expect("goes on").expect("a change");
        assert_eq!(change.key, server_key(&name));
    }
    signal("-CONT", silent);
}

/// Puts its share of the changes, each under a key of its own so that the feed may leave out none.
async fn write(store: SqlStore, writer: usize, done: Arc<AtomicUsize>) {
    for number in 0..CHANGES / WRITERS {
        let name = format!("w{writer}-{number}");
        until_done!(Registry::put(&store, server(&name), Precondition::None));
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Follows until it has seen every key, with a new store now and then.
async fn read(url: String) -> usize {
    let (mut seen, mut since) = (HashSet::new(), Revision(0));
    while seen.len() < CHANGES {
        let store = until_done!(SqlStore::connect_with(
            &url,
            &SqlConfig::new(),
            crate::support::keys(1),
            Arc::new(portolan_core::SystemClock)
        ));
        let mut feed = store.changes(since).take(READER_RESTARTS);
        while let Some(change) = feed.next().await {
            match change {
                Ok(change) => {
                    since = change.revision;
                    seen.insert(change.key);
                    if seen.len() == CHANGES {
                        break;
                    }
                }
                Err(error) => assert!(error.is_retryable(), "{}", told(&error)),
            }
        }
    }
    seen.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feed_loses_no_change() {
    let instance = Instance::start();
    let store = open_at(&instance.url(), &SqlConfig::new()).await;
    let reader = tokio::spawn(read(instance.url()));
    let done = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(store.clone(), writer, Arc::clone(&done))))
        .collect();
    for part in 1..4 {
        while done.load(Ordering::Relaxed) < part * CHANGES / 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        instance.restart();
    }
    for writer in writers {
        writer.await.expect("it writes");
    }
    assert_eq!(reader.await.expect("it reads"), CHANGES);
}

/// Why revisions are given under a lock: a reader by the id of an identity column loses what commits late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_by_id_alone_loses_changes() {
    const EACH: i32 = 200;
    let url = Address::Direct.url();
    let mut setup = raw(&url).await;
    let sql = "DROP TABLE IF EXISTS public.plain; CREATE TABLE public.plain (id bigint GENERATED ALWAYS AS IDENTITY)";
    setup.execute(sql).await.expect("a table");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                let mut connection = raw(&url).await;
                for _ in 0..EACH {
                    let mut tx = connection.begin().await.expect("begin");
                    tx.execute("INSERT INTO public.plain DEFAULT VALUES")
                        .await
                        .expect("insert");
                    // A transaction that has more to do.
                    if writer % 2 == 0 {
                        tx.execute("SELECT pg_sleep(0.002)").await.expect("slept");
                    }
                    tx.commit().await.expect("commit");
                }
            })
        })
        .collect();
    let (mut last, mut seen) = (0_i64, 0);
    let mut read = async |connection: &mut sqlx::PgConnection| {
        let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM public.plain WHERE id > $1 ORDER BY id")
            .bind(last)
            .fetch_all(connection)
            .await
            .expect("read");
        last = ids.last().copied().unwrap_or(last);
        seen += ids.len();
    };
    while writers.iter().any(|writer| !writer.is_finished()) {
        read(&mut setup).await;
    }
    read(&mut setup).await;
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM public.plain")
        .fetch_one(&mut setup)
        .await
        .expect("count");
    assert_eq!(all, i64::from(EACH) * 8);
    assert!(i64::try_from(seen).expect("few") < all, "it saw all {all}");
}
