//! Lists are kept per credential scope.

use std::sync::Arc;

use portolan_client::{Tools, UpstreamCredential, UpstreamServer};
use portolan_fixtures::scripted::{Reply, ScriptedServer, modern};

use crate::support::{bearer, none, server_at};

/// Starts a server that lists one tool, named after the token of the request.
async fn personal_server() -> ScriptedServer {
    let upstream = ScriptedServer::start(|request| match request.method() {
        "tools/list" => {
            let token = request.header("authorization").unwrap_or("bearer nobody");
            let name = token.trim_start_matches("bearer ");
            let tools = format!(r#"[{{"name":"of-{name}","inputSchema":{{"type":"object"}}}}]"#);
            Reply::result(
                request,
                format!(r#"{{"resultType":"complete","tools":{tools},"ttlMs":0}}"#),
            )
        }
        _ => modern(request).unwrap_or_else(|| Reply::error(request, -32601, "no such method")),
    });
    upstream.await.expect("a port")
}

async fn has_tool(server: &Arc<UpstreamServer>, credential: &UpstreamCredential, name: &str) -> bool {
    let tools = server
        .list::<Tools>(&Arc::new(credential.clone()))
        .await
        .expect("a list");
    tools.items.get(name).is_some()
}

#[tokio::test]
async fn credentials_see_their_own_tools() {
    let upstream = personal_server().await;
    let server = server_at(&upstream.url());
    assert!(has_tool(&server, &bearer("alice"), "of-alice").await);
    assert!(has_tool(&server, &bearer("bob"), "of-bob").await);
    assert!(has_tool(&server, &bearer("alice"), "of-alice").await);
    assert!(!has_tool(&server, &bearer("bob"), "of-alice").await);
    assert!(server.known::<Tools>(&none()).is_none());
    assert_eq!(upstream.count_of("tools/list"), 2);
}

#[tokio::test]
async fn named_scope_survives_rotation() {
    let upstream = personal_server().await;
    let server = server_at(&upstream.url());
    assert!(has_tool(&server, &bearer("old").with_scope("alice"), "of-old").await);
    assert!(has_tool(&server, &bearer("new").with_scope("alice"), "of-old").await);
    assert_eq!(upstream.count_of("tools/list"), 1);
    assert!(has_tool(&server, &bearer("new").with_scope("bob"), "of-new").await);
}
