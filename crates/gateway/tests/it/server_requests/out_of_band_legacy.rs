//! What legacy servers ask in the middle of a call and yet beside it: on the GET stream of the session.

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    raw::{Connection, ResponseStream},
    servers::Request,
    servers::notifying::NotifyingServer,
};

const ABLE: &str = r#"{"elicitation":{}}"#;

/// A call that is under way at a server, and the stream of its client.
struct Under {
    server: NotifyingServer,
    gateway: TestGateway,
    client: Client,
    stream: ResponseStream,
    /// The session at the server.
    own: String,
    _call: Connection,
}

impl Under {
    async fn way(asks: ServerRequestPolicy, capabilities: &str) -> Self {
        let server = NotifyingServer::start(false).await;
        let gateway = TestGateway::builder()
            .server("up", server.url())
            .server_requests(asks)
            .start()
            .await;
        let client = gateway.connect_with(ClientVersion::V2025_11_25, capabilities).await;
        client.tools().await;
        let stream = client.stream().await;
        let call = client.send_only(&client.call("1", "up__t", r#"{"hold":true}"#)).await;
        eventually("the call is there", || server.server.count_of("tools/call") == 1).await;
        let own = server.call_session();
        Self {
            server,
            gateway,
            client,
            stream,
            own,
            _call: call,
        }
    }

    fn ask(&self, id: &Value, method: &str, params: &Value) {
        let question = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        assert!(self.server.send(&self.own, &question), "the stream is open");
    }

    async fn answer(&self, id: &Value) -> u16 {
        let body = json!({"jsonrpc": "2.0", "id": id, "result": form()});
        self.client.send(&self.client.post(body.to_string())).await.status()
    }

    /// What the server was told under its id of a question.
    async fn told(&self, id: &Value) -> Request {
        eventually("the server is told", || self.find(id).is_some()).await;
        self.find(id).expect("it was there")
    }

    fn find(&self, id: &Value) -> Option<Request> {
        let mut asked = self.server.server.requests().into_iter();
        asked.find(|request| request.body["id"] == *id && request.method().is_empty())
    }
}

fn form() -> Value {
    json!({"action": "accept", "content": {"name": "x"}})
}

#[tokio::test]
async fn get_stream_opens_before_call() {
    for _ in 0..5 {
        let under = Under::way(ServerRequestPolicy::ALL, ABLE).await;
        let asked = under.server.server.requests();
        let of = |wanted: &dyn Fn(&Request) -> bool| {
            let mine = |request: &Request| request.session() == Some(&under.own) && wanted(request);
            asked.iter().position(mine).expect("it was asked")
        };
        assert!(of(&|request| request.verb == "GET") < of(&|request| request.method() == "tools/call"));
    }
}

#[tokio::test]
async fn request_and_response_are_relayed() {
    let mut under = Under::way(ServerRequestPolicy::ALL, ABLE).await;
    let params = json!({"message": "who?", "requestedSchema": {"type": "object", "odd": [1.50]}});
    for theirs in [json!(7), json!("seven")] {
        under.ask(&theirs, "elicitation/create", &params);
        let question = under.stream.json().await;
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(question["params"], params);
        assert_ne!(question["id"], theirs);
        assert_eq!(under.gateway.question_count(), 1);
        let other = under.gateway.connect_with(ClientVersion::V2025_11_25, ABLE).await;
        let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": form()});
        assert_eq!(
            other.send(&other.post(body.to_string())).await.status(),
            400,
            "of another session"
        );
        assert_eq!(under.answer(&question["id"]).await, 202);
        let told = under.told(&theirs).await;
        assert_eq!(told.body["result"], form());
        assert_eq!(told.session(), Some(&*under.own));
        assert_eq!(under.gateway.question_count(), 0);
        assert_eq!(under.answer(&question["id"]).await, 202, "late, and for nobody");
    }
}

#[tokio::test]
async fn unsupported_request_is_refused() {
    let mut no_sampling = ServerRequestPolicy::ALL;
    no_sampling.sampling = false;
    for (asks, capabilities, method) in [
        (ServerRequestPolicy::ALL, "{}", "elicitation/create"),
        (no_sampling, r#"{"sampling":{}}"#, "sampling/createMessage"),
        (ServerRequestPolicy::ALL, ABLE, "roots/list"),
        (ServerRequestPolicy::ALL, ABLE, "tools/call"),
    ] {
        let mut under = Under::way(asks, capabilities).await;
        under.ask(&json!(7), method, &json!({}));
        assert_eq!(under.told(&json!(7)).await.body["error"]["code"], -32601, "{method}");
        assert!(under.stream.is_silent(Duration::from_millis(50)).await);
        assert_eq!(under.gateway.question_count(), 0);
    }
}

#[tokio::test]
async fn server_cancellation_reaches_client() {
    let mut under = Under::way(ServerRequestPolicy::ALL, ABLE).await;
    under.ask(&json!(7), "elicitation/create", &json!({"message": "who?"}));
    let question = under.stream.json().await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7, "reason": "enough"}});
    assert!(under.server.send(&under.own, &cancelled));
    let told = under.stream.json().await;
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"], json!({"requestId": question["id"], "reason": "enough"}));
    assert_eq!(under.answer(&question["id"]).await, 202);
    assert_eq!(under.gateway.question_count(), 0);
    // Long enough for a response that should not be sent.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(under.find(&json!(7)).is_none());
}

#[tokio::test]
async fn open_requests_are_bounded() {
    let mut under = Under::way(ServerRequestPolicy::ALL, ABLE).await;
    for id in 0..65 {
        under.ask(&json!(id), "elicitation/create", &json!({"message": id}));
    }
    for id in 0..64 {
        assert_eq!(under.stream.json().await["params"]["message"], id);
    }
    assert!(under.told(&json!(64)).await.body["error"].is_object());
}

#[tokio::test]
async fn session_end_drops_requests() {
    let mut under = Under::way(ServerRequestPolicy::ALL, ABLE).await;
    under.ask(&json!(7), "elicitation/create", &json!({"message": "who?"}));
    under.stream.json().await;
    assert_eq!(under.gateway.question_count(), 1);
    assert_eq!(under.client.delete().await.status(), 204);
    eventually("nothing is left", || under.gateway.question_count() == 0).await;
}
