//! The environment and secrets of a server.

use portolan_core::{Channel, Secret};
use serde_json::json;

use crate::support::{fixture, serve_command};

const SECRET: &str = "s3cr3t-t0ken";

#[tokio::test]
async fn environment_is_explicit() {
    let command = fixture([])
        .with_env("PLAIN", "text")
        .with_env("TOKEN", Secret::new(SECRET));
    let served = serve_command(command, |config| {
        config.inherit.push(("LANG".into(), "C.UTF-8".into()));
    });
    let seen = served.tool("env", json!({})).await.unwrap()["structuredContent"].take();
    let names: Vec<_> = seen["env"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["HOME", "LANG", "PATH", "PLAIN", "PORTOLAN_RUN", "TOKEN"]);
    assert_eq!(seen["env"]["TOKEN"], SECRET);
    assert_eq!(seen["env"]["HOME"], seen["dir"]);
    assert!(seen["dir"].as_str().unwrap().contains("private/fixture."));
}

#[tokio::test]
async fn secret_files() {
    let served = serve_command(fixture([]).with_file("key.pem", Secret::new(SECRET)), |_| {});
    let seen = served.tool("env", json!({})).await.unwrap()["structuredContent"].take();
    assert_eq!(seen["files"], json!({"key.pem": SECRET}));
    let dir = std::path::PathBuf::from(seen["env"]["PORTOLAN_SECRETS_DIR"].as_str().unwrap());
    served.server.stop(std::time::Duration::ZERO).await;
    assert!(!dir.exists());
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let command = fixture([])
        .with_env("TOKEN", Secret::new(SECRET))
        .with_file("key", Secret::new(SECRET));
    let shown = format!("{command:?}");
    let served = serve_command(command, |config| config.inherit.push(("PROXY".into(), SECRET.into())));
    served.server.handshake().await.unwrap();
    served
        .text("stderr", json!({"text": format!("connecting with {SECRET}")}))
        .await;
    let error = served.tool("crash", json!({"code": 1})).await.unwrap_err();
    let previous = portolan_core::LogQuery {
        previous: true,
        ..Default::default()
    };
    let _ = served.server.handshake().await;
    let log = crate::support::log(&served.server, previous).await.join("\n");
    assert!(log.contains("connecting with …"), "{log}");
    for text in [shown, format!("{:?}", served.server), format!("{error:?} {error}"), log] {
        assert!(!text.contains(SECRET), "{text}");
    }
}
