//! Many callers of both eras at two replicas, in random order: nothing crosses, is done twice or is left behind.

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion, HttpRequest},
    eventually,
    gateway::TestGateway,
    servers::requesting::{CallReply, RequestingServer},
};

const ELICITATION: &str = r#"{"elicitation":{}}"#;
/// The same interleavings on every run, as far as the machine allows.
const SEEDS: [u64; 3] = [1, 0x5eed, 0xfeed_beef];
const CALLERS: usize = 24;
const CONVERSATIONS: usize = 6;

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// One caller, who may come to either replica.
struct Caller {
    at: [Client; 2],
    random: Random,
    name: String,
}

impl Caller {
    async fn new(gateways: &[TestGateway; 2], number: usize, seed: u64) -> Self {
        let token = if number.is_multiple_of(2) {
            "alice-token"
        } else {
            "bob-token"
        };
        let version = [
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
            ClientVersion::V2026_07_28,
            ClientVersion::V2026_07_28,
        ][number / 2 % 4];
        let mut first = Client::new(gateways[number % 2].address, version).token(token);
        first.capabilities = ELICITATION.into();
        first.handshake().await;
        let second = first.at(gateways[(number + 1) % 2].address);
        Self {
            at: [first, second],
            random: Random(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            name: format!("caller{number}"),
        }
    }

    /// How many of the servers it goes to. Legacy clients are asked beside their calls on another stream than this one reads.
    fn servers(&self) -> usize {
        if self.at[0].version.is_modern() { 6 } else { 3 }
    }

    fn somewhere(&mut self) -> &Client {
        let at = self.random.below(2);
        &self.at[at]
    }

    /// Whether it came to its end.
    async fn converse(&mut self, number: usize, tool: &str) -> bool {
        let tag = format!("{}-{number}", self.name);
        let (questions, rounds) = (1 + self.random.below(3), 1 + self.random.below(3));
        let arguments = json!({"tag": tag, "requests": questions, "rounds": rounds});
        let whole = format!("{tag}:{}", vec![tag.as_str(); questions * rounds].join(","));
        let text = if self.at[0].version.is_modern() {
            self.modern(tool, &arguments).await
        } else {
            self.legacy(tool, number, &arguments).await
        };
        if let Some(text) = &text {
            assert_eq!(*text, whole);
        }
        text.is_some()
    }

    /// The text in the end; `None` if this caller gave up, or was too slow.
    async fn legacy(&mut self, tool: &str, number: usize, arguments: &Value) -> Option<String> {
        let id = format!("\"{number}\"");
        let post = self.at[0].call(&id, tool, &arguments.to_string());
        let mut incoming = self.at[0].begin(&post).await;
        let mut last: Option<String> = None;
        while let Ok(Some(event)) = incoming.whole_event().await {
            if let Some(last) = &last
                && self.random.chance(8)
            {
                // The connection breaks before this was read, and the client comes back for it.
                drop(incoming);
                incoming = self.somewhere().resume(last).await;
                assert_eq!(incoming.head.status, 200);
                continue;
            }
            last = event.id.clone().or(last);
            if event.data.is_empty() {
                continue;
            }
            let message = event.json();
            if let Some(end) = outcome(&message) {
                return end;
            }
            if message["method"] != "elicitation/create" {
                continue;
            }
            assert_eq!(
                message["params"]["message"], arguments["tag"],
                "a question of another call"
            );
            match self.random.below(12) {
                0 => return None,
                1 => {
                    self.somewhere().cancel(&id).await;
                }
                action => {
                    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": accept(&message["params"])});
                    let times = if action == 2 { 2 } else { 1 };
                    for _ in 0..times {
                        let client = self.somewhere();
                        let status = client.send(&client.post(answer.to_string())).await.status();
                        assert_eq!(status, 202);
                    }
                }
            }
        }
        None
    }

    async fn modern(&mut self, tool: &str, arguments: &Value) -> Option<String> {
        let mut extra = String::new();
        loop {
            let client = self.somewhere();
            let post = request(client, tool, arguments, &extra);
            if self.random.chance(15) {
                // It goes away in the middle of a request.
                drop(self.somewhere().send_only(&post).await);
                return None;
            }
            let messages = self.somewhere().begin(&post).await.messages().await.ok()?;
            let message: Value = serde_json::from_str(messages.last()?).expect("JSON");
            if let Some(end) = outcome(&message) {
                return end;
            }
            let result = &message["result"];
            let mut answers = serde_json::Map::new();
            for (key, question) in result["inputRequests"].as_object().expect("requests") {
                assert_eq!(
                    question["params"]["message"], arguments["tag"],
                    "a question of another call"
                );
                answers.insert(key.clone(), accept(&question["params"]));
            }
            if self.random.chance(12) {
                return None;
            }
            extra = format!(
                r#","inputResponses":{},"requestState":{}"#,
                Value::from(answers),
                result["requestState"]
            );
            if self.random.chance(6) {
                self.lend(tool, arguments, &extra).await;
            }
        }
    }

    /// Somebody else brings what this caller was given.
    async fn lend(&mut self, tool: &str, arguments: &Value, extra: &str) {
        let client = self.somewhere();
        let other = if client.token == "alice-token" {
            "bob-token"
        } else {
            "alice-token"
        };
        let mut thief = client.at(client.address).token(other);
        thief.capabilities = ELICITATION.into();
        let messages = thief
            .begin(&request(&thief, tool, arguments, extra))
            .await
            .messages()
            .await;
        let message: Value = serde_json::from_str(&messages.expect("whole")[0]).expect("JSON");
        assert_eq!(message["error"]["code"], -32602, "{message}");
    }
}

fn request(client: &Client, tool: &str, arguments: &Value, extra: &str) -> HttpRequest {
    let params = format!(r#""name":"{tool}","arguments":{arguments}{extra}"#);
    client.request(&client.next_id(), "tools/call", &params, "")
}

fn accept(params: &Value) -> Value {
    json!({"action": "accept", "content": {"tag": params["message"]}})
}

/// How a call ended, if it has: with its text, or with none because it was given up.
fn outcome(message: &Value) -> Option<Option<String>> {
    let result = message.get("result")?;
    if result["resultType"] == "input_required" {
        return None;
    }
    if result["isError"] == true {
        return Some(None);
    }
    Some(result["content"][0]["text"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_never_cross() {
    for seed in SEEDS {
        let requesting = [
            RequestingServer::legacy().await,
            RequestingServer::modern().await,
            RequestingServer::resumable().await,
            RequestingServer::out_of_band(CallReply::Events).await,
            RequestingServer::out_of_band(CallReply::Json).await,
            RequestingServer::resumable_with_session_streams().await,
        ];
        let urls = requesting.each_ref().map(RequestingServer::url);
        let names = ["plain", "modern", "resumable", "beside", "beside-json", "streams"];
        let servers: Vec<_> = names.into_iter().zip(urls.iter().map(String::as_str)).collect();
        let gateways = TestGateway::builder()
            .servers(&servers)
            .server_requests(ServerRequestPolicy::ALL)
            .config(|config| {
                // Nobody says that an answer went through another replica, so that what was asked is waited for as long as for
                // any other sign of a server.
                config.timeouts.server_request = Duration::from_secs(2);
                config.timeouts.call = Duration::from_secs(2);
                config.timeouts.listen_grace = Duration::from_millis(300);
                // Both callers are many clients at once here.
                config.limits.sessions_per_caller = CALLERS * CONVERSATIONS;
                config.limits.suspended_per_caller = CALLERS * CONVERSATIONS;
                config.timeouts.replay = Duration::ZERO;
            })
            .start_replicas()
            .await;
        let callers = (0..CALLERS).map(|number| {
            let (gateways, servers) = (&gateways, &servers);
            async move {
                let mut caller = Caller::new(gateways, number, seed).await;
                let mut ended = 0;
                for conversation in 0..CONVERSATIONS {
                    let server = servers[caller.random.below(caller.servers())].0;
                    ended += usize::from(caller.converse(conversation, &format!("{server}__ask")).await);
                }
                ended
            }
        });
        let ended: usize = futures_util::future::join_all(callers).await.iter().sum();
        assert!(ended >= CALLERS * CONVERSATIONS / 3, "{ended} came to their end");
        let begun: usize = requesting.iter().map(|server| server.calls()).sum();
        assert!(begun <= CALLERS * CONVERSATIONS, "{begun} calls: one was made twice");
        let open = || {
            gateways
                .iter()
                .map(|gateway| gateway.server_request_count())
                .sum::<usize>()
        };
        eventually("nothing is left behind", || open() == 0).await;
        // Also no session that nobody uses and nobody else may use.
        for server in &requesting[3..] {
            eventually("all streams but those of callers who may come back are closed", || {
                server.open_streams() <= 2 * gateways.len()
            })
            .await;
        }
        let kept = || gateways.iter().map(|gateway| gateway.replay_count()).sum::<usize>();
        eventually("no stream is left behind", || kept() == 0).await;
    }
}
