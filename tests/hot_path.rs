//! Calls do not touch the database: its statements are counted. A program of its own, because the count is of the process.

#![cfg(all(feature = "local", feature = "axum"))]

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use portolan::{
    Owner, Platform, SealingKeys, Selection, ServerSpec, SqlStore, StaticTokens,
    core::{Clock, Subject, SystemClock, TokenGrant, UserId},
    digest,
};
use portolan_fixtures::http::{HttpFixture, Options};
use serde_json::{Value, json};
use tracing_subscriber::{Layer, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt};

/// Counts the statements that sqlx reports, without those of followers of the change feed, which look twice a second.
struct Statements(Arc<AtomicUsize>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn Debug| {
            text.push_str(&format!("{}={value:?} ", field.name()));
        });
        let is_of_feed = ["portolan_changes WHERE revision", "FROM portolan_numbers"];
        if !is_of_feed.iter().any(|known| text.contains(known)) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Sends a request in memory.
async fn ask(platform: &Platform, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    });
    let name = params["name"].as_str().unwrap_or("-").to_owned();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = Request::post("/default")
        .header("host", "localhost")
        .header("authorization", "Bearer token")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    let request = if method == "tools/call" {
        request.header("mcp-name", name)
    } else {
        request
    };
    let request = request
        .body(Full::<Bytes>::from(message.to_string()))
        .expect("a request");
    let response = platform.gateway_service().respond(request).await;
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warm_calls_use_no_statement() {
    let count = Arc::new(AtomicUsize::new(0));
    tracing_subscriber::registry().with(Statements(count.clone())).init();
    let place = tempfile::tempdir().expect("a directory");
    let options = portolan_storage_sql::sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.path().join("own.db"))
        .create_if_missing(true)
        .synchronous(portolan_storage_sql::sqlx::sqlite::SqliteSynchronous::Full);
    let pool = portolan_storage_sql::sqlx::sqlite::SqlitePoolOptions::new();
    let pool = pool.connect_with(options).await.expect("a pool");
    let keys = SealingKeys::new(&[7; 32]).expect("keys");
    let store = Arc::new(
        SqlStore::from_pool(pool, keys, Arc::new(SystemClock))
            .await
            .expect("a store"),
    );
    let upstream = HttpFixture::start(Options::default()).await.expect("a server");
    let alice = UserId::parse("alice").expect("a user");
    let grant = TokenGrant::new(digest("token"), Subject::User(alice.clone()), SystemClock.now());
    let platform = Platform::builder(place.path().join("unused.db"))
        .registry(store.clone())
        .credentials(store.clone())
        .sessions(store)
        .authenticator(StaticTokens::from_grants([grant], Arc::new(SystemClock)))
        .build()
        .await
        .expect("a platform");
    platform
        .gateway("default")
        .select(Selection::All)
        .await
        .expect("a gateway");
    let server = ServerSpec::remote("up", upstream.url()).expect("a server");
    let server = platform.add(server).await.expect("added");
    platform
        .install(&server, Owner::Personal(alice))
        .await
        .expect("installed");
    assert!(count.load(Ordering::SeqCst) > 10, "statements are counted");

    let call = async || {
        let params = json!({"name": "up__echo", "arguments": {"text": "x"}});
        let answer = ask(&platform, "tools/call", params).await;
        assert_eq!(answer["result"]["content"][0]["text"], "x", "{answer}");
        let answer = ask(&platform, "tools/list", json!({})).await;
        assert!(
            answer["result"]["tools"]
                .as_array()
                .is_some_and(|tools| !tools.is_empty()),
            "{answer}"
        );
    };
    call().await;
    // The follower reads back what was written here; then nothing is left to be done.
    let mut before = usize::MAX;
    while before != count.load(Ordering::SeqCst) {
        before = count.load(Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    for _ in 0..100 {
        call().await;
    }
    assert_eq!(count.load(Ordering::SeqCst), before, "a warm call used the database");
}
