use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use portolan_core::{ChannelNotification, ChannelRequest, Exchange};
use portolan_wire::method::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::channel::dispatcher::WriteBatch;

const MINUTE: Duration = Duration::from_secs(60);

fn dispatcher() -> Arc<RpcDispatcher> {
    RpcDispatcher::new("test".into(), ProcessLimits::default(), 1)
}

fn call(dispatcher: &Arc<RpcDispatcher>, requester_key: Option<&str>) -> Exchange {
    call_of(dispatcher, "tools/call", requester_key)
}

fn call_of(dispatcher: &Arc<RpcDispatcher>, method: &str, requester_key: Option<&str>) -> Exchange {
    let mut request = ChannelRequest::new(method, None, MINUTE);
    request.requester_key = requester_key.map(Into::into);
    let dispatched = dispatcher.call(&request, Instant::now() + MINUTE).unwrap();
    Exchange::new(dispatched.events, dispatched.handle.cancelled_on_drop())
}

fn ask(dispatcher: &RpcDispatcher, id: u64) {
    dispatcher.deliver_server_request(Request {
        id: RequestId::from_u64(id),
        method: Method::Elicit,
        params: None,
    });
}

/// Returns the lines written since the last time.
fn written(dispatcher: &RpcDispatcher) -> Vec<Value> {
    let mut batch = WriteBatch::default();
    let _ = dispatcher.batch(&mut batch).now_or_never();
    let text = batch.pieces.concat();
    // Counts it as written.
    let _ = dispatcher.batch(&mut batch).now_or_never();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Returns the keys of the requests that have been delivered.
fn server_requests(exchange: &mut Exchange) -> Vec<u64> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut keys = Vec::new();
    while let std::task::Poll::Ready(Some(event)) = exchange.poll_next(&mut cx) {
        if let ExchangeEvent::ServerRequest(question) = event {
            keys.push(question.key);
        }
    }
    keys
}

fn yes() -> RpcResponse {
    RpcResponse::Result(Bytes::from_static(br#"{"action":"accept"}"#))
}

#[tokio::test]
async fn request_reaches_latest_call() {
    let dispatcher = dispatcher();
    let (mut first, mut second) = (call(&dispatcher, Some("a")), call(&dispatcher, Some("a")));
    written(&dispatcher);
    dispatcher.deliver_server_request(Request {
        id: RequestId::parse(&Bytes::from_static(b"\"q-1\"")).unwrap(),
        method: Method::Elicit,
        params: Some(Bytes::from_static(br#"{"message":"sure?"}"#)),
    });
    assert!(server_requests(&mut first).is_empty());
    let Some(ExchangeEvent::ServerRequest(question)) = second.next().await else {
        panic!("no question");
    };
    assert_eq!(
        (&*question.method, question.params.unwrap()),
        ("elicitation/create", r#"{"message":"sure?"}"#.into())
    );
    // Another call may not answer it.
    first.respond(question.key, yes());
    assert_eq!(written(&dispatcher), [] as [Value; 0]);
    second.respond(question.key, yes());
    second.respond(question.key, yes());
    let answer = json!({"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept"}});
    assert_eq!(written(&dispatcher), [answer]);
}

#[tokio::test]
async fn other_requester_blocks_requests() {
    for other in [Some("b"), None] {
        let dispatcher = dispatcher();
        let mut mine = call(&dispatcher, Some("a"));
        let theirs = call(&dispatcher, other);
        written(&dispatcher);
        ask(&dispatcher, 7);
        let refused = written(&dispatcher);
        assert_eq!(
            (&refused[0]["id"], &refused[0]["error"]["code"]),
            (&json!(7), &json!(-32603))
        );
        drop(theirs);
        // The server may still be at the call that was cancelled, until it says otherwise.
        ask(&dispatcher, 8);
        assert_eq!(written(&dispatcher).len(), 2, "the cancellation and a refusal");
        assert!(server_requests(&mut mine).is_empty());
        dispatcher.deliver_response(2, Ok(yes()));
        ask(&dispatcher, 9);
        assert_eq!(server_requests(&mut mine).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_call_expires() {
    let dispatcher = dispatcher();
    let (mut mine, theirs) = (call(&dispatcher, Some("a")), call(&dispatcher, Some("b")));
    written(&dispatcher);
    drop(theirs);
    tokio::time::advance(ProcessLimits::default().cancel_grace).await;
    ask(&dispatcher, 1);
    assert_eq!(server_requests(&mut mine).len(), 1);
}

#[tokio::test]
async fn subscriptions_are_never_asked() {
    let dispatcher = dispatcher();
    let mut listener = call_of(&dispatcher, "subscriptions/listen", None);
    ask(&dispatcher, 1);
    let mut mine = call(&dispatcher, Some("a"));
    ask(&dispatcher, 2);
    assert_eq!(
        (server_requests(&mut listener).len(), server_requests(&mut mine).len()),
        (0, 1)
    );
}

#[tokio::test]
async fn open_requests_are_bounded() {
    let dispatcher = dispatcher();
    let mut mine = call(&dispatcher, Some("a"));
    written(&dispatcher);
    (0..40).for_each(|id| ask(&dispatcher, id));
    assert_eq!(server_requests(&mut mine).len(), 16);
    assert_eq!(written(&dispatcher).len(), 24);
}

#[tokio::test]
async fn ended_call_refuses_open_requests() {
    let dispatcher = dispatcher();
    for ends_by_answer in [true, false] {
        let mine = call(&dispatcher, Some("a"));
        let id = written(&dispatcher)[0]["id"].as_u64().unwrap();
        ask(&dispatcher, 5);
        match ends_by_answer {
            true => dispatcher.deliver_response(id, Ok(yes())),
            false => drop(mine),
        }
        let told = written(&dispatcher);
        assert_eq!((&told[0]["id"], &told[0]["error"]["code"]), (&json!(5), &json!(-32603)));
        assert_eq!(dispatcher.lock().server_requests.len(), 0);
    }
}

#[tokio::test]
async fn withdrawn_request_gets_no_response() {
    let dispatcher = dispatcher();
    let mut mine = call(&dispatcher, Some("a"));
    written(&dispatcher);
    ask(&dispatcher, 5);
    dispatcher.withdraw(&RequestId::from_u64(5));
    let key = server_requests(&mut mine)[0];
    mine.respond(key, yes());
    assert_eq!(written(&dispatcher), [] as [Value; 0]);
}

#[tokio::test]
async fn log_message_reaches_sole_requester() {
    let dispatcher = dispatcher();
    let message = ChannelNotification::new("notifications/message", None);
    let mut mine = call(&dispatcher, Some("a"));
    assert_eq!(dispatcher.deliver_to_sole_requester(message.clone()), None);
    assert!(matches!(mine.next().await, Some(ExchangeEvent::Notification(delivered)) if delivered == message));
    let _theirs = call(&dispatcher, Some("b"));
    assert_eq!(dispatcher.deliver_to_sole_requester(message.clone()), Some(message));
}

/// One step; steps come in any order.
#[derive(Clone, Debug)]
enum Step {
    /// A caller sends a call: one without a requester key, or one of three.
    Call(usize),
    /// The server sends a request for one of the calls that it works on, which may have been cancelled.
    Ask(usize),
    /// The server responds to a call.
    RpcResponse(usize),
    /// A caller drops its exchange.
    Drop(usize),
    /// A caller responds to a request that it received, perhaps again.
    Respond(usize),
    /// The server withdraws a request.
    Withdraw(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any = || 0usize..64;
    prop_oneof![
        3 => (0usize..4).prop_map(Step::Call),
        4 => any().prop_map(Step::Ask),
        2 => any().prop_map(Step::RpcResponse),
        1 => any().prop_map(Step::Drop),
        4 => any().prop_map(Step::Respond),
        1 => any().prop_map(Step::Withdraw),
    ]
}

const REQUESTERS: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];

struct Caller {
    requester: Option<&'static str>,
    exchange: Option<Exchange>,
}

/// Models the server and all callers of one dispatcher.
#[derive(Default)]
struct Model {
    callers: Vec<Caller>,
    /// The calls that the server works on, by index of the caller; the id is one more.
    open_calls: Vec<usize>,
    /// The caller that each request belongs to.
    requests: HashMap<u64, usize>,
    /// The caller that each request was delivered to, and its key.
    delivered: Vec<(usize, u64)>,
    withdrawn: HashSet<u64>,
    answered: HashMap<u64, u32>,
}

impl Model {
    fn step(&mut self, dispatcher: &Arc<RpcDispatcher>, step: Step) {
        match step {
            Step::Call(requester) => {
                let exchange = Some(call(dispatcher, REQUESTERS[requester]));
                self.open_calls.push(self.callers.len());
                self.callers.push(Caller {
                    requester: REQUESTERS[requester],
                    exchange,
                });
            }
            Step::Ask(at) => {
                if let Some(&caller) = pick(&self.open_calls, at) {
                    let id = 1000 + self.requests.len() as u64;
                    self.requests.insert(id, caller);
                    ask(dispatcher, id);
                    self.check_delivery(caller);
                }
            }
            Step::RpcResponse(at) if !self.open_calls.is_empty() => {
                let caller = self.open_calls.swap_remove(at % self.open_calls.len());
                dispatcher.deliver_response(caller as u64 + 1, Ok(yes()));
            }
            Step::Drop(at) if !self.callers.is_empty() => {
                let at = at % self.callers.len();
                self.callers[at].exchange = None;
            }
            Step::Respond(at) => {
                if let Some(&(caller, key)) = pick(&self.delivered, at)
                    && let Some(exchange) = &self.callers[caller].exchange
                {
                    exchange.respond(key, yes());
                }
            }
            Step::Withdraw(at) if !self.requests.is_empty() => {
                let id = 1000 + (at % self.requests.len()) as u64;
                if !self.answered.contains_key(&id) {
                    self.withdrawn.insert(id);
                    dispatcher.withdraw(&RequestId::from_u64(id));
                }
            }
            _ => {}
        }
        self.read(dispatcher);
    }

    /// Checks that a request for `caller` reached its requester alone.
    fn check_delivery(&mut self, caller: usize) {
        let requester = self.callers[caller].requester;
        for (number, listener) in self.callers.iter_mut().enumerate() {
            let Some(exchange) = &mut listener.exchange else {
                continue;
            };
            for key in server_requests(exchange) {
                assert!(
                    requester.is_some() && listener.requester == requester,
                    "a request of {requester:?} reached {:?}",
                    listener.requester
                );
                self.delivered.push((number, key));
            }
        }
    }

    fn read(&mut self, dispatcher: &RpcDispatcher) {
        for line in written(dispatcher) {
            if line.get("method").is_none() {
                *self.answered.entry(line["id"].as_u64().unwrap()).or_default() += 1;
            }
        }
        assert!(self.answered.values().all(|times| *times == 1), "answered twice");
    }
}

fn pick<T>(from: &[T], at: usize) -> Option<&T> {
    (!from.is_empty()).then(|| &from[at % from.len()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn requests_never_cross_requesters(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let dispatcher = dispatcher();
            let mut model = Model::default();
            for step in steps {
                model.step(&dispatcher, step);
            }
            for caller in &mut model.callers {
                caller.exchange = None;
            }
            model.read(&dispatcher);
            let state = dispatcher.lock();
            assert_eq!((state.pending.len(), state.server_requests.len()), (0, 0));
            for id in model.requests.keys() {
                let times = model.answered.get(id).copied().unwrap_or(0);
                assert!(times == 1 || model.withdrawn.contains(id), "question {id} was answered {times} times");
            }
        });
    }
}
