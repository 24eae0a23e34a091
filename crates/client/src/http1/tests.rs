use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    Connection, ConnectionPool, SendError,
    pool::IDLE_FOR,
    test_io::{Received, ScriptedStream, heard},
};

fn post(body: impl Into<Bytes>) -> Box<Request<Bytes>> {
    let mut request = Request::new(body.into());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/mcp?a=b".parse().expect("a target");
    request
        .headers_mut()
        .insert("host", "example.test".parse().expect("a value"));
    Box::new(request)
}

/// What is heard of `words`: the same, however they are cut.
fn hear(words: &str) -> Option<(u16, String, bool)> {
    let whole = heard(words.as_bytes(), usize::MAX);
    for step in [1, 2, 7] {
        let cut = heard(words.as_bytes(), step);
        let same = |heard: &Received| (heard.status, heard.body.clone(), heard.is_whole);
        assert_eq!(cut.as_ref().map(same), whole.as_ref().map(same), "{words:?} by {step}");
    }
    let heard = whole?;
    assert!(heard.is_whole || !heard.is_kept, "{words:?}");
    let body = String::from_utf8_lossy(&heard.body).into_owned();
    Some((
        heard.status,
        if heard.is_whole { body } else { body + "…" },
        heard.is_kept,
    ))
}

#[test]
fn bodies_end_where_rfc_9112_says() {
    for (words, body, kept) in [
        ("content-length: 2\r\n\r\nok", "ok", true),
        ("Content-Length: 2, 2\r\ncontent-length: 2\r\n\r\nok", "ok", true),
        ("content-length: 0\r\n\r\n", "", true),
        ("content-length: 5\r\n\r\nok", "ok…", false),
        // More than was asked for: what follows is nobody's answer.
        ("content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", "ok", false),
        ("content-length: 2\r\nconnection: close\r\n\r\nok", "ok", false),
        ("content-length: 2\r\nconnection: te, Close\r\n\r\nok", "ok", false),
        ("\r\nuntil it hangs up", "until it hangs up", false),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", true),
        (
            "transfer-encoding: chunked\r\n\r\n1;x=y\r\no\r\n00A\r\n0123456789\r\n0\r\nt: 1\r\nu: 2\r\n\r\n",
            "o0123456789",
            true,
        ),
        (
            "transfer-encoding: gzip, Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "ok",
            true,
        ),
        ("transfer-encoding: chunked\r\n\r\n0\r\n\r\n", "", true),
        // A length beside chunks means nothing, and is no good sign.
        (
            "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "ok",
            false,
        ),
        ("transfer-encoding: gzip\r\n\r\n2\r\nok", "2\r\nok", false),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", "ok…", false),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n", "ok…", false),
        ("transfer-encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", "…", false),
        ("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nok", "…", false),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nno trailer\r\n\r\n",
            "ok…",
            false,
        ),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{words}");
        assert_eq!(hear(&answer), Some((200, body.to_owned(), kept)), "{words:?}");
    }
}

#[test]
fn heads_are_read_or_refused() {
    let many = |count| (0..count).map(|at| format!("x-{at}: y\r\n")).collect::<String>();
    for (answer, status) in [
        ("HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n".to_owned(), Some((204, true))),
        ("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), Some((304, true))),
        ("HTTP/1.1 202\r\ncontent-length: 0\r\n\r\n".to_owned(), Some((202, true))),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), Some((200, false))),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n".to_owned(), Some((200, true))),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_owned(), Some((401, true))),
        (format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", many(127)), Some((200, true))),
        (format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", many(128)), None),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000)), None),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_owned(), None),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(40), None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok".to_owned(), None),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok".to_owned(), None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok".to_owned(), None),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(), None),
        ("HTTP/1.1 200 OK\r\n".to_owned(), None),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), None),
        ("HTTP/2 200 OK\r\n\r\n".to_owned(), None),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let head = hear(&answer).map(|(status, _, kept)| (status, kept));
        assert_eq!(head, status, "{:?}", answer.get(..80.min(answer.len())));
    }
}

async fn read_request(theirs: &mut DuplexStream, until: &[u8]) -> String {
    let mut request = Vec::new();
    while !request.ends_with(until) {
        let mut piece = [0; 4096];
        let count = theirs.read(&mut piece).await.expect("a request");
        assert_ne!(count, 0, "it hangs up");
        request.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(request).expect("text")
}

#[tokio::test]
async fn a_request_says_how_long_it_is_and_no_more() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move {
        let request = read_request(&mut theirs, b"{}").await;
        theirs
            .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            .await
            .expect("room");
        let second = read_request(&mut theirs, b"\r\n\r\n").await;
        theirs
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .expect("room");
        (request, second)
    });
    let pool = Arc::<ConnectionPool>::default();
    let mut request = post("{}");
    for (name, value) in [
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("x-y", "z"),
    ] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let answer = Connection::over(ours).send(request, &pool).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let mut request = post("");
    *request.method_mut() = Method::DELETE;
    let connection = pool.take().expect("a connection that can be used again");
    connection.send(request, &pool).await.expect("another answer");
    let (first, second) = server.await.expect("a server");
    assert_eq!(
        first,
        "POST /mcp?a=b HTTP/1.1\r\nhost: example.test\r\nx-y: z\r\ncontent-length: 2\r\n\r\n{}"
    );
    assert_eq!(second, "DELETE /mcp?a=b HTTP/1.1\r\nhost: example.test\r\n\r\n");
}

/// A server may refuse what it has not read to its end.
#[tokio::test]
async fn an_answer_that_comes_early_is_heard() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move {
        let mut piece = [0; 100];
        theirs.read_exact(&mut piece).await.expect("a beginning");
        let answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch";
        theirs.write_all(answer).await.expect("room");
    });
    let pool = Arc::<ConnectionPool>::default();
    let answer = Connection::over(ours)
        .send(post(vec![b'x'; 1 << 20]), &pool)
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "much");
    assert!(pool.take().is_none(), "half a request stands on it");
    server.await.expect("a server");
}

/// A server may begin its answer before it has read the request to its end, and wait for the rest.
#[tokio::test]
async fn a_request_is_written_on_while_its_answer_comes() {
    const LONG: usize = 1 << 20;
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move {
        let mut piece = [0; 100];
        theirs.read_exact(&mut piece).await.expect("a beginning");
        theirs
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
            .await
            .expect("room");
        let mut rest = vec![0; LONG - 100];
        theirs.read_exact(&mut rest).await.expect("the rest");
        theirs.write_all(b"cd").await.expect("room");
    });
    let pool = Arc::<ConnectionPool>::default();
    let answer = Connection::over(ours)
        .send(post(vec![b'x'; LONG]), &pool)
        .await
        .expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "abcd");
    server.await.expect("a server");
}

#[tokio::test]
async fn what_was_not_sent_comes_back() {
    // A server that has hung up, and one that speaks before it is asked.
    for words in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"] {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(words).await.expect("room");
        drop(theirs);
        let answer = Connection::over(ours).send(post("{}"), &Arc::default()).await;
        assert!(matches!(answer, Err(SendError::NotSent(_))), "{answer:?}");
    }
    // One that hangs up once it was sent something.
    let answer = Connection::over(ScriptedStream::new(b"", 1))
        .send(post("{}"), &Arc::default())
        .await;
    assert!(matches!(answer, Err(SendError::Broken(_))), "{answer:?}");
}

/// Who gives up an answer closes its connection.
#[tokio::test]
async fn half_an_answer_is_no_connection() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move {
        read_request(&mut theirs, b"{}").await;
        theirs
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
            .await
            .expect("room");
        theirs.read(&mut [0]).await.expect("an end")
    });
    let pool = Arc::<ConnectionPool>::default();
    let mut answer = Connection::over(ours)
        .send(post("{}"), &pool)
        .await
        .expect("an answer")
        .into_body();
    answer.frame().await.expect("a frame").expect("of data");
    drop(answer);
    assert_eq!(server.await.expect("a server"), 0);
    assert!(pool.take().is_none());
}

/// Who keeps a small answer keeps no more than that: the buffer it was read into is used again.
#[tokio::test]
async fn a_small_answer_keeps_no_buffer() {
    let pool = Arc::<ConnectionPool>::default();
    let words = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let answer = Connection::over(ScriptedStream::new(words, usize::MAX))
        .send(post("{}"), &pool)
        .await;
    let body = answer
        .expect("an answer")
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    let buffer = pool.take_buffer();
    let there = buffer.as_ptr();
    pool.put_buffer(buffer);
    Connection::over(ScriptedStream::new(words, usize::MAX))
        .send(post("{}"), &pool)
        .await
        .expect("an answer");
    assert_eq!((body, pool.take_buffer().as_ptr()), (Bytes::from_static(b"ok"), there));
}

/// How long a connection is kept after an answer with these headers; none if it is not used again at all.
async fn kept(headers: &str) -> Option<Duration> {
    let pool = Arc::<ConnectionPool>::default();
    let words = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok");
    let answer = Connection::over(ScriptedStream::new(words.as_bytes(), usize::MAX))
        .send(post("{}"), &pool)
        .await;
    answer.expect("an answer").into_body().collect().await.expect("a body");
    pool.take()?.idle_for
}

#[tokio::test]
async fn a_connection_is_given_up_before_its_server_ends_it() {
    for (headers, kept_for) in [
        ("", Some(IDLE_FOR)),
        ("keep-alive: timeout=5\r\n", Some(Duration::from_secs(4))),
        ("Keep-Alive: max=100, timeout=72\r\n", Some(IDLE_FOR)),
        ("keep-alive: timeout=1\r\n", None),
        ("keep-alive: timeout=0\r\n", None),
        ("keep-alive: timeout=soon\r\n", Some(IDLE_FOR)),
    ] {
        assert_eq!(kept(headers).await, kept_for, "{headers}");
    }
}

/// The same answer through hyper's client.
async fn heard_by_hyper(words: &[u8]) -> Option<(u16, Vec<u8>, bool)> {
    let stream = TokioIo::new(ScriptedStream::new(words, usize::MAX));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(post("{}").map(Full::new)).await.ok();
    let Some(response) = response else {
        connection.abort();
        return None;
    };
    let status = response.status().as_u16();
    let mut answer = response.into_body();
    let (mut body, mut is_whole) = (Vec::new(), true);
    while let Some(frame) = answer.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => is_whole = false,
        }
    }
    connection.abort();
    Some((status, body, is_whole))
}

/// Answers, sound and odd, sometimes with one byte changed.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "content-length: 4",
        "content-length: 04",
        "content-length: 4, 4",
        "content-length: 5",
        "content-length:",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "connection: close",
        "connection: keep-alive",
        "x-odd: \u{e9}\t value",
        "no colon",
        "space : before",
    ]);
    let starts = prop::sample::select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 404 Not \u{e9}",
        "HTTP/1.1 99 Low",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
    ]);
    let bodies = prop::sample::select(vec![
        "body",
        "4\r\nbody\r\n0\r\n\r\n",
        "4;a=b\r\nbody\r\n0\r\nt: v\r\n\r\n",
        "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
        "4\r\nbody0\r\n\r\n",
        "4\r\nbody\r\n",
        "",
    ]);
    let change = prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
    (starts, prop::collection::vec(lines, 0..4), bodies, change).prop_map(|(start, lines, body, change)| {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let mut answer = format!("{start}\r\n{lines}\r\n{body}").into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(answer.len());
            answer[at] = byte;
        }
        answer
    })
}

/// However an answer is cut, and whoever of the two reads it, it is the same.
#[test]
fn an_answer_is_what_hyper_reads() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(4096)
    });
    let checked = runner.run(&(answers(), 1_usize..20), |(words, step)| {
        let ours = heard(&words, usize::MAX).map(|heard| (heard.status, heard.body, heard.is_whole));
        let cut = heard(&words, step).map(|heard| (heard.status, heard.body, heard.is_whole));
        prop_assert_eq!(&ours, &cut);
        let theirs = runtime.block_on(heard_by_hyper(&words));
        // Nobody asked it to speak something else.
        let theirs = theirs.filter(|(status, ..)| *status != 101);
        prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&words));
        Ok(())
    });
    checked.unwrap_or_else(|fault| panic!("{fault}"));
}
