//! Thousands of requests that are a little wrong: the gateway answers each and stays.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    client::{ClientVersion, HttpRequest},
    gateway::TestGateway,
    raw::Connection,
    upstreams::{Eras, http},
};

/// A small generator, always the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit as u64)).expect("small")
    }
}

const PIECES: [&[u8]; 20] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"null",
    b"1e999",
    b"-",
    b"\xff",
    b"\x00",
    b"\\ud800",
    b"\"id\":",
    b"\"_meta\":{}",
    b"\"name\"",
    b"jsonrpc",
    b"[[[[[[[[[[[[[[[[[[[[",
    b"\xc3\xa9",
];

fn mutate(random: &mut Random, body: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let at = random.below(body.len().max(1)).min(body.len());
        match random.below(6) {
            0 => {
                let piece = PIECES[random.below(PIECES.len())];
                body.splice(at..at, piece.iter().copied());
            }
            1 if !body.is_empty() => {
                let end = (at + 1 + random.below(8)).min(body.len());
                body.drain(at..end);
            }
            2 if !body.is_empty() => {
                let at = at.min(body.len() - 1);
                body[at] = u8::try_from(random.next() % 256).expect("a byte");
            }
            3 => body.truncate(at),
            4 => {
                let end = (at + random.below(40)).min(body.len());
                let twice = body[at..end].to_vec();
                body.splice(at..at, twice);
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = (at + piece.len()).min(body.len());
                body.splice(at..end, piece.iter().copied());
            }
        }
    }
}

fn mutate_headers(random: &mut Random, post: &mut HttpRequest) {
    let values = [
        "",
        "2026-07-28",
        "2025-11-25",
        "tools/list",
        "=?base64?AA?=",
        "=?base64??=",
        "x",
        "*/*;q=0",
        "ü",
        "0",
    ];
    if random.below(3) > 0 {
        return;
    }
    let at = 2 + random.below(post.headers.len() - 2);
    match random.below(3) {
        0 => drop(post.headers.remove(at)),
        1 => post.headers[at].1 = values[random.below(values.len())].into(),
        _ => {
            let twice = post.headers[at].clone();
            post.headers.push(twice);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutation_is_answered() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for version in [
        ClientVersion::V2025_03_26,
        ClientVersion::V2025_11_25,
        ClientVersion::V2026_07_28,
    ] {
        let client = gateway.connect(version).await;
        let mut connection = Connection::open(gateway.address).await;
        let originals = [
            client.call_with("1", "up__echo", r#"{"text":"aé\u0041","n":[1,{"b":null}]}"#, r#""progressToken":"t""#),
            client.request("\"list\"", "tools/list", r#""cursor":"x""#, ""),
            client.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#),
            client.post(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]"#),
            client.post(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#),
        ];
        for round in 0..1200 {
            let mut post = originals[round % originals.len()].clone();
            mutate(&mut random, &mut post.body);
            mutate_headers(&mut random, &mut post);
            connection.send(post.bytes()).await;
            let Ok(answer) = connection.response().await else {
                panic!("no answer to {post:?}")
            };
            assert!(
                matches!(answer.status(), 200 | 202 | 400 | 404 | 406 | 415),
                "{post:?} {answer:?}"
            );
            if answer.status() != 202 && answer.head.get("content-type") == Some("application/json") {
                answer.json();
            }
        }
        assert_eq!(
            client.text("up__echo", json!({"text": "still here"})).await,
            "still here"
        );
    }
    gateway.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_http_ends_one_connection() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let good = client.call("1", "up__echo", r#"{"text":"x"}"#).bytes();
    let mut random = Random(42);
    for _ in 0..300 {
        let mut bytes = good.clone();
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        for _ in 0..=random.below(3) {
            let at = random.below(head);
            bytes[at] = u8::try_from(random.next() % 256).expect("a byte");
        }
        let mut connection = Connection::open(gateway.address).await;
        if connection.try_send(&bytes).await {
            connection.finish().await;
            drop(connection.response().await);
        }
    }
    assert_eq!(
        client.text("up__echo", json!({"text": "still here"})).await,
        "still here"
    );
}
