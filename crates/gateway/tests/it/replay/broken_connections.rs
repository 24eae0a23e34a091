//! Connections that break anywhere, again and again: each call has one response, and each event comes once and in order.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    DEADLINE,
    client::{Client, ClientVersion},
    gateway::TestGateway,
    raw::{Event, ResponseStream},
    servers::streaming::StreamingServer,
};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// A client that takes its stream up again as often as its connection breaks, at one replica or another.
struct Follower<'a> {
    places: Vec<&'a Client>,
    random: Random,
    last: Option<String>,
    breaks: usize,
    progress: Vec<u64>,
    answer: Option<Value>,
}

impl Follower<'_> {
    /// Reads until the connection breaks; whether the stream is over.
    async fn read(&mut self, mut incoming: ResponseStream, bytes: u64) -> bool {
        let mut read = 0;
        loop {
            let event = match timeout(DEADLINE, incoming.whole_event())
                .await
                .expect("an event in time")
            {
                Ok(Some(event)) => event,
                Ok(None) => return true,
                Err(_) => return false,
            };
            read += event.data.len() as u64 + 200;
            self.heed(&event);
            if read >= bytes && self.answer.is_none() {
                self.breaks += 1;
                return false;
            }
        }
    }

    fn heed(&mut self, event: &Event) {
        if let Some(id) = &event.id {
            self.last = Some(id.clone());
        }
        if event.data.is_empty() {
            return;
        }
        let message = event.json();
        match message["params"]["progress"].as_u64() {
            Some(progress) => self.progress.push(progress),
            None => assert!(self.answer.replace(message).is_none(), "a second answer"),
        }
    }

    async fn follow(&mut self, mut incoming: ResponseStream) {
        loop {
            let bytes = 1 + self.random.below(1500);
            if self.read(incoming, bytes).await {
                return;
            }
            let place = usize::try_from(self.random.below(self.places.len() as u64)).expect("few");
            let last = self.last.clone().expect("an id");
            incoming = self.places[place].resume(&last).await;
            assert_eq!(incoming.head.status, 200);
        }
    }
}

/// How many progress notifications a call has.
const STEPS: u64 = 60;
const BREAKS: usize = 100;

async fn breaks(places: &[&Client], server: &StreamingServer, seed: u64) {
    let mut random = Random(seed);
    let (mut breaks, mut number) = (0, server.calls());
    while breaks < BREAKS {
        let request = format!("{}", 100 + number);
        let post = places[0].call_with(&request, "up__t", "{}", r#""progressToken":"p""#);
        let begun = places[0].send_only(&post).await;
        let streamed = server.call(number).await;
        number += 1;
        let said = format!("answer {number}");
        let saying = async {
            for step in 1..=STEPS {
                streamed.send_progress(step);
                if step % 7 == 0 {
                    // So that connections break between events too.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            streamed.respond(&said);
        };
        let mut follower = Follower {
            places: places.to_vec(),
            random: Random(random.below(u64::MAX >> 31) + 1),
            last: None,
            breaks: 0,
            progress: Vec::new(),
            answer: None,
        };
        let incoming = begun.incoming();
        tokio::join!(saying, async { follower.follow(incoming.await).await });
        assert_eq!(
            follower.progress,
            (1..=STEPS).collect::<Vec<_>>(),
            "all of it, once, in order"
        );
        let answer = follower.answer.expect("an answer");
        assert_eq!(answer["id"].to_string(), request);
        assert_eq!(answer["result"]["content"][0]["text"], json!(said));
        breaks += follower.breaks;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_breaks_lose_nothing() {
    for is_modern in [false, true] {
        let server = StreamingServer::start(is_modern).await;
        let gateway = TestGateway::with_server(server.url()).await;
        let client = gateway.connect(ClientVersion::V2025_11_25).await;
        breaks(&[&client], &server, 7).await;
        assert_eq!(server.cancelled(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_across_replicas_lose_nothing() {
    let server = StreamingServer::start(false).await;
    let gateways = TestGateway::builder().server("up", server.url()).start_replicas().await;
    let client = gateways[0].connect(ClientVersion::V2025_11_25).await;
    let there = client.at(gateways[1].address);
    breaks(&[&client, &there], &server, 11).await;
    assert_eq!(server.cancelled(), 0);
}
