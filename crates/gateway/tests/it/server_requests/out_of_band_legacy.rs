//! Requests of legacy servers to legacy clients on the GET stream of a session, in the middle of a call.

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

const ELICITATION: &str = r#"{"elicitation":{}}"#;

/// A call that is open_call start at a server, and the stream of its client.
struct OpenCall {
    server: NotifyingServer,
    gateway: TestGateway,
    client: Client,
    stream: ResponseStream,
    /// The session at the server.
    upstream_session: String,
    _call: Connection,
}

impl OpenCall {
    async fn start(asks: ServerRequestPolicy, capabilities: &str) -> Self {
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
        let upstream_session = server.call_session();
        Self {
            server,
            gateway,
            client,
            stream,
            upstream_session,
            _call: call,
        }
    }

    fn ask(&self, id: &Value, method: &str, params: &Value) {
        let question = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        assert!(
            self.server.send(&self.upstream_session, &question),
            "the stream is open"
        );
    }

    async fn answer(&self, id: &Value) -> u16 {
        let body = json!({"jsonrpc": "2.0", "id": id, "result": form()});
        self.client.send(&self.client.post(body.to_string())).await.status()
    }

    /// The response that the server was sent under its id of a request.
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
        let open_call = OpenCall::start(ServerRequestPolicy::ALL, ELICITATION).await;
        let asked = open_call.server.server.requests();
        let of = |wanted: &dyn Fn(&Request) -> bool| {
            let mine = |request: &Request| request.session() == Some(&open_call.upstream_session) && wanted(request);
            asked.iter().position(mine).expect("it was asked")
        };
        assert!(of(&|request| request.verb == "GET") < of(&|request| request.method() == "tools/call"));
    }
}

#[tokio::test]
async fn request_and_response_are_relayed() {
    let mut open_call = OpenCall::start(ServerRequestPolicy::ALL, ELICITATION).await;
    let params = json!({"message": "who?", "requestedSchema": {"type": "object", "odd": [1.50]}});
    for theirs in [json!(7), json!("seven")] {
        open_call.ask(&theirs, "elicitation/create", &params);
        let question = open_call.stream.json().await;
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(question["params"], params);
        assert_ne!(question["id"], theirs);
        assert_eq!(open_call.gateway.server_request_count(), 1);
        let other = open_call
            .gateway
            .connect_with(ClientVersion::V2025_11_25, ELICITATION)
            .await;
        let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": form()});
        assert_eq!(
            other.send(&other.post(body.to_string())).await.status(),
            400,
            "of another session"
        );
        assert_eq!(open_call.answer(&question["id"]).await, 202);
        let told = open_call.told(&theirs).await;
        assert_eq!(told.body["result"], form());
        assert_eq!(told.session(), Some(&*open_call.upstream_session));
        assert_eq!(open_call.gateway.server_request_count(), 0);
        assert_eq!(open_call.answer(&question["id"]).await, 202, "late, and for nobody");
    }
}

#[tokio::test]
async fn unsupported_request_is_refused() {
    let mut no_sampling = ServerRequestPolicy::ALL;
    no_sampling.sampling = false;
    for (asks, capabilities, method) in [
        (ServerRequestPolicy::ALL, "{}", "elicitation/create"),
        (no_sampling, r#"{"sampling":{}}"#, "sampling/createMessage"),
        (ServerRequestPolicy::ALL, ELICITATION, "roots/list"),
        (ServerRequestPolicy::ALL, ELICITATION, "tools/call"),
    ] {
        let mut open_call = OpenCall::start(asks, capabilities).await;
        open_call.ask(&json!(7), method, &json!({}));
        assert_eq!(
            open_call.told(&json!(7)).await.body["error"]["code"],
            -32601,
            "{method}"
        );
        assert!(open_call.stream.is_silent(Duration::from_millis(50)).await);
        assert_eq!(open_call.gateway.server_request_count(), 0);
    }
}

#[tokio::test]
async fn server_cancellation_reaches_client() {
    let mut open_call = OpenCall::start(ServerRequestPolicy::ALL, ELICITATION).await;
    open_call.ask(&json!(7), "elicitation/create", &json!({"message": "who?"}));
    let question = open_call.stream.json().await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7, "reason": "enough"}});
    assert!(open_call.server.send(&open_call.upstream_session, &cancelled));
    let told = open_call.stream.json().await;
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"], json!({"requestId": question["id"], "reason": "enough"}));
    assert_eq!(open_call.answer(&question["id"]).await, 202);
    assert_eq!(open_call.gateway.server_request_count(), 0);
    // Long enough for a response that should not be sent.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(open_call.find(&json!(7)).is_none());
}

#[tokio::test]
async fn open_requests_are_bounded() {
    let mut open_call = OpenCall::start(ServerRequestPolicy::ALL, ELICITATION).await;
    for id in 0..65 {
        open_call.ask(&json!(id), "elicitation/create", &json!({"message": id}));
    }
    for id in 0..64 {
        assert_eq!(open_call.stream.json().await["params"]["message"], id);
    }
    assert!(open_call.told(&json!(64)).await.body["error"].is_object());
}

#[tokio::test]
async fn session_end_drops_requests() {
    let mut open_call = OpenCall::start(ServerRequestPolicy::ALL, ELICITATION).await;
    open_call.ask(&json!(7), "elicitation/create", &json!({"message": "who?"}));
    open_call.stream.json().await;
    assert_eq!(open_call.gateway.server_request_count(), 1);
    assert_eq!(open_call.client.delete().await.status(), 204);
    eventually("nothing is left", || open_call.gateway.server_request_count() == 0).await;
}
