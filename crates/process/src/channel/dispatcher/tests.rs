use portolan_core::Exchange;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn dispatcher(limits: ProcessLimits) -> Arc<RpcDispatcher> {
    RpcDispatcher::new("test".into(), limits, 1)
}

fn call(dispatcher: &Arc<RpcDispatcher>, params: Option<&'static str>) -> Result<Exchange, CallError> {
    let request = ChannelRequest::new("tools/call", params.map(Bytes::from), SECOND);
    let dispatched = dispatcher.call(&request, Instant::now() + SECOND)?;
    Ok(Exchange::new(dispatched.events, dispatched.handle.cancelled_on_drop()))
}

async fn written(dispatcher: &RpcDispatcher) -> String {
    let mut batch = WriteBatch::default();
    dispatcher.batch(&mut batch).await;
    let text: Vec<u8> = batch.pieces.concat();
    // Counts it as written.
    let _ = tokio::time::timeout(Duration::ZERO, dispatcher.batch(&mut batch)).await;
    String::from_utf8(text).unwrap()
}

fn result(text: &'static str) -> Result<RpcResponse> {
    Ok(RpcResponse::Result(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn responses_in_any_order() {
    let dispatcher = dispatcher(ProcessLimits::default());
    let first = call(&dispatcher, None).unwrap();
    let second = call(&dispatcher, Some("{\"a\":\n1}")).unwrap();
    let sent = written(&dispatcher).await;
    assert_eq!(
        sent,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}\n\
         {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"a\":1}}\n"
    );
    dispatcher.deliver_response(2, result("2"));
    dispatcher.deliver_response(2, result("again"));
    dispatcher.deliver_response(77, result("nobody's"));
    dispatcher.deliver_response(1, result("1"));
    assert_eq!(second.answer().await.unwrap(), RpcResponse::Result("2".into()));
    assert_eq!(first.answer().await.unwrap(), RpcResponse::Result("1".into()));
}

#[tokio::test]
async fn dropped_call_is_cancelled() {
    let dispatcher = dispatcher(ProcessLimits::default());
    let exchange = call(&dispatcher, None).unwrap();
    written(&dispatcher).await;
    drop(exchange);
    let sent = written(&dispatcher).await;
    assert!(
        sent.contains("notifications/cancelled") && sent.contains("\"requestId\":1"),
        "{sent}"
    );
    assert!(sent.contains("the caller has gone"), "{sent}");
}

#[tokio::test]
async fn dropped_unwritten_call_is_removed() {
    let dispatcher = dispatcher(ProcessLimits::default());
    drop(call(&dispatcher, None).unwrap());
    let _other = call(&dispatcher, None).unwrap();
    let sent = written(&dispatcher).await;
    assert!(sent.lines().count() == 1 && sent.contains("\"id\":2"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn expired_call_is_cancelled() {
    let dispatcher = dispatcher(ProcessLimits::default());
    let exchange = call(&dispatcher, None).unwrap();
    written(&dispatcher).await;
    let next = dispatcher.expire(Instant::now()).unwrap();
    assert_eq!(next, Instant::now() + SECOND);
    tokio::time::advance(SECOND).await;
    assert_eq!(dispatcher.expire(Instant::now()), None);
    assert!(matches!(exchange.answer().await, Err(Error::Timeout { .. })));
    assert!(written(&dispatcher).await.contains("timed out"));
}

#[tokio::test]
async fn call_limit() {
    let limits = ProcessLimits {
        calls: 2,
        ..ProcessLimits::default()
    };
    let dispatcher = dispatcher(limits);
    let _calls = [call(&dispatcher, None).unwrap(), call(&dispatcher, None).unwrap()];
    let refused = call(&dispatcher, None).unwrap_err();
    assert!(matches!(refused, CallError::Error(Error::Exhausted { limit: 2, .. })));
}

#[tokio::test]
async fn write_queue_is_bounded() {
    let limits = ProcessLimits {
        queue_bytes: 1000,
        ..ProcessLimits::default()
    };
    let dispatcher = dispatcher(limits);
    let mut calls = Vec::new();
    let refused = loop {
        match call(&dispatcher, None) {
            Ok(exchange) => calls.push(exchange),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, CallError::Error(Error::Exhausted { .. })));
    assert!((5..12).contains(&calls.len()), "{}", calls.len());
    written(&dispatcher).await;
    assert!(call(&dispatcher, None).is_ok());
}

#[tokio::test]
async fn close_fails_calls() {
    let dispatcher = dispatcher(ProcessLimits::default());
    let exchange = call(&dispatcher, None).unwrap();
    dispatcher.close(&Failure::new(FailureKind::Exited, "it ended"));
    let Err(Error::NotReady { failure, .. }) = exchange.answer().await else {
        panic!("answered");
    };
    assert!(failure.is_retryable());
    assert!(matches!(call(&dispatcher, None), Err(CallError::Closed(_))));
}

#[tokio::test]
async fn response_fits_after_progress_flood() {
    let dispatcher = dispatcher(ProcessLimits::default());
    let mut exchange = call(&dispatcher, Some(r#"{"_meta":{"progressToken":"mine"}}"#)).unwrap();
    for _ in 0..500 {
        let params = Bytes::from_static(br#"{"progressToken":1,"progress":1}"#);
        dispatcher.deliver_progress(ChannelNotification::new("notifications/progress", Some(params)));
    }
    dispatcher.deliver_response(1, result("1"));
    let Some(ExchangeEvent::Notification(first)) = exchange.next().await else {
        panic!("no progress");
    };
    assert_eq!(first.params.unwrap(), r#"{"progressToken":"mine","progress":1}"#);
    assert_eq!(exchange.answer().await.unwrap(), RpcResponse::Result("1".into()));
}
