//! Databases of earlier releases, which are kept in `tests/fixtures` and never made anew.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use portolan_core::{
    Change, CredentialStore, Page, Precondition, RecordKind, Registry, RegistryExt, Revision, SessionStore, SystemClock,
};
use portolan_storage_sql::{Migrations, SealingKeys, SqlConfig, SqlStore};

use crate::support::{Place, credential, put_secret, put_server, raw, secret, server_key, told};

/// A copy of a fixture, with its keys.
pub(crate) fn fixture(place: &Place, name: &str) -> SealingKeys {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::copy(from.join(format!("{name}.db")), place.database()).expect("copied");
    let keys = std::fs::read_to_string(from.join(format!("{name}.keys"))).expect("keys");
    let digits = |line: &str| -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&line[2 * at..2 * at + 2], 16).expect("hexadecimal"))
    };
    let mut keys = keys.lines().filter(|line| !line.starts_with('#')).map(digits);
    let first = SealingKeys::new(&keys.next().expect("a key")).expect("a key");
    keys.fold(first, |all, key| all.with_older(&key).expect("a key"))
}

#[tokio::test]
async fn first_schema_is_upgraded() {
    let place = Place::new();
    let keys = fixture(&place, "schema-1");
    let store = SqlStore::open(place.database(), keys, Arc::new(SystemClock))
        .await
        .expect("it is upgraded");

    for number in 0..12 {
        let old = match number {
            3 => "replaced secret 3".into(),
            _ => format!("old secret {number}"),
        };
        assert_eq!(
            secret(&store, &format!("old/{number}")).await.expect("opens"),
            Some(old)
        );
        let new = (number != 11).then(|| format!("new secret {number}"));
        assert_eq!(secret(&store, &format!("new/{number}")).await.expect("opens"), new);
    }
    let servers = store.servers().await.expect("servers");
    assert_eq!(servers.len(), 17);
    for server in servers {
        let number: usize = server.value.name.as_str()["server-".len()..].parse().expect("a number");
        assert_eq!(server.value.description, Some(format!("number {number} «é☕»")));
    }
    let count = async |kind| Registry::list(&store, kind, Page::first()).await.expect("list").len();
    assert_eq!(
        (count(RecordKind::Install).await, count(RecordKind::Gateway).await),
        (3, 1)
    );
    let alive = SessionStore::get(&store, "alive", Timestamp::UNIX_EPOCH)
        .await
        .expect("get");
    assert_eq!(&*alive.expect("is there").value, b"state of alive");
    let lease = store.lease(&credential("old/0"), std::time::Duration::ZERO).await;
    assert!(lease.expect("asked").is_none(), "it is held until 2096");
    let lease = store.lease(&credential("old/1"), std::time::Duration::ZERO).await;
    assert!(lease.expect("asked").expect("free").fence > 28, "28 was given");

    // The feed goes on where it stood: three removals after twenty writes, then four more.
    let feed: Vec<Change> = {
        use futures_util::{StreamExt, TryStreamExt};
        let feed = store.changes(Revision(20)).take(7);
        feed.try_collect().await.expect("changes")
    };
    assert_eq!(feed[0].key, server_key("server-03"));
    assert_eq!(feed.last().map(|change| change.revision), Some(Revision(27)));
    let version = Registry::put(&store, crate::support::server("later"), Precondition::Absent).await;
    assert_eq!(version.expect("put").0.get(), 28);
    put_secret(&store, "later", "x").await.expect("put");
}

#[tokio::test]
async fn verify_mode_upgrades_nothing() {
    let place = Place::new();
    let keys = keys_again;
    drop(fixture(&place, "schema-1"));
    let path = place.database().display().to_string();
    let config = SqlConfig::new().with_migrations(Migrations::Verify);
    let opened = SqlStore::connect_with(&path, &config, keys(), Arc::new(SystemClock)).await;
    let text = told(&opened.expect_err("not up to date"));
    assert!(text.contains("Migrations::Run"), "{text}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM portolan_schema")
        .fetch_one(&mut raw(&place.database()).await)
        .await
        .expect("count");
    assert_eq!(tables, 1);

    let address = format!("sqlite:{path}");
    let store = SqlStore::connect(&address, keys(), Arc::new(SystemClock)).await;
    put_server(&store.expect("it is upgraded"), "a").await;
    let (keys, clock) = (keys_again(), Arc::new(SystemClock));
    SqlStore::connect_with(&path, &config, keys, clock)
        .await
        .expect("it is up to date");
}

/// The keys of the fixture, without a copy of its database.
fn keys_again() -> SealingKeys {
    fixture(&Place::new(), "schema-1")
}

#[tokio::test]
async fn unknown_addresses_are_refused() {
    for address in [
        "mysql://u:hunter2@h/d",
        "postgresq://u:hunter2@h/d",
        "sqlite:a.db?mode=hunter2",
    ] {
        let keys = SealingKeys::new(&[1; 32]).expect("a key");
        let error = SqlStore::connect(address, keys, Arc::new(SystemClock))
            .await
            .expect_err("refused");
        let text = told(&error);
        assert!(address.starts_with("sqlite") || !text.contains("hunter2"), "{text}");
    }
}
