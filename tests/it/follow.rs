//! Two platforms on one database, as two processes would be.

use portolan::{Owner, Platform, Selection, ServerSpec};
use portolan_fixtures::http::{HttpFixture, Options};
use serde_json::json;

use crate::support::{Place, WITHIN, ask, listen, until};

/// Serves a platform; gives its address.
async fn serve(platform: &Platform) -> String {
    let app = axum::Router::new().nest_service("/mcp", platform.gateway_service());
    listen(app, std::future::pending()).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_one_process_is_served_by_all() {
    let upstream = HttpFixture::start(Options::default()).await.expect("a server");
    let place = Place::new();
    let (one, other) = (place.platform().await, place.platform().await);
    let address = serve(&other).await;
    let name = one.gateway("default").select(Selection::All).await.expect("a gateway");
    let token = one.issue_token(&name, Owner::Org).await.expect("a token");
    let server = ServerSpec::remote("up", upstream.url()).expect("a server");
    let server = one.add(server).await.expect("added");
    let install = one.install(&server, Owner::Org).await.expect("installed");
    let url = format!("{address}/mcp/default");
    let lists = async |expected: bool| {
        let (status, answer) = ask(&url, &token, "tools/list", json!({})).await;
        let tools = answer["result"]["tools"].as_array().map(Vec::len);
        status == 200 && tools.is_some_and(|tools| (tools > 0) == expected)
    };
    until("the install is served", async || lists(true).await).await;
    one.remove(&install.name).await.expect("removed");
    until("the removal is served", async || lists(false).await).await;
    other.shutdown(WITHIN).await.expect("shut down");
    one.shutdown(WITHIN).await.expect("shut down");
}
