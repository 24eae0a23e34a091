//! What the egress client reaches, and its bounds.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use portolan_identity::{EgressClient, EgressConfig, EgressError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers every connection with `answer`, or never for an empty one; returns its port.
async fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

async fn get(client: &EgressClient, url: &str) -> Result<Response<Bytes>, EgressError> {
    client
        .send(Request::get(url).body(Bytes::new()).expect("a request"))
        .await
}

#[tokio::test]
async fn allowed_host_is_reached() {
    let port = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let client =
        EgressClient::new(EgressConfig::default().allow_host("localhost").allow_host("127.0.0.1")).expect("a client");
    for host in ["localhost", "127.0.0.1"] {
        let answer = get(&client, &format!("http://{host}:{port}/"))
            .await
            .expect("an answer");
        assert_eq!(answer.body(), "ok");
    }
}

#[tokio::test]
async fn private_name_is_refused() {
    let client = EgressClient::new(EgressConfig::default()).expect("a client");
    for url in [
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
    ] {
        let error = get(&client, url).await.expect_err("refused");
        assert!(matches!(error, EgressError::Private { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn plain_http_is_refused() {
    let client = EgressClient::new(EgressConfig::default()).expect("a client");
    for url in [
        "http://example.com/",
        "ftp://example.com/",
        "https://user:hunter2@example.com/",
    ] {
        let error = get(&client, url).await.expect_err("refused");
        assert!(matches!(error, EgressError::Url { .. }), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let port = server("HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n").await;
    let client = EgressClient::new(EgressConfig::default().allow_host("localhost")).expect("a client");
    let answer = get(&client, &format!("http://localhost:{port}/"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 302);
}

#[tokio::test]
async fn long_answer_is_refused() {
    let port = server("HTTP/1.1 200 OK\r\n\r\n0123456789abcdef").await;
    let client = EgressClient::new(EgressConfig::default().allow_host("localhost").with_max_body(8)).expect("a client");
    let error = get(&client, &format!("http://localhost:{port}/"))
        .await
        .expect_err("too long");
    assert!(matches!(error, EgressError::TooLong { max: 8, .. }), "{error}");
}

#[tokio::test]
async fn silent_server_times_out() {
    let port = server("").await;
    let config = EgressConfig::default()
        .allow_host("localhost")
        .with_timeout(Duration::from_millis(50));
    let client = EgressClient::new(config).expect("a client");
    let error = get(&client, &format!("http://localhost:{port}/secret-path"))
        .await
        .expect_err("a timeout");
    assert!(matches!(error, EgressError::Timeout { .. }), "{error}");
    assert!(!format!("{error:?}").contains("secret-path"));
}
