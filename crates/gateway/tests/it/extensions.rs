//! Extensions of clients are told to the server that relays them.

use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::{Reply, common, scripted},
};

const UI: &str = "io.modelcontextprotocol/ui";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extensions_reach_the_server() {
    let settings = json!({"mimeTypes": ["text/html;profile=mcp-app"], "x": 1});
    let declared = json!({"extensions": {UI: settings}}).to_string();
    for is_modern in [false, true] {
        for version in [
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
            ClientVersion::V2026_07_28,
        ] {
            let upstream = scripted(move |request| {
                common(is_modern, request).unwrap_or_else(|| match request.method() {
                    "tools/call" => Reply::result(request, json!({"content": [], "resultType": "complete"})),
                    _ => Reply::status(405),
                })
            })
            .await;
            let gateways = TestGateway::builder()
                .server("up", upstream.url())
                .published_as(["default"]);
            let [one, other] = gateways.start_replicas().await;
            let client = one.connect_with(version, &declared).await;
            // Another replica knows of them as well.
            for at in [one.address, other.address] {
                let client = client.at(at);
                assert!(client.tool("up__t", json!({})).await["result"]["isError"].is_null());
                let told = match is_modern {
                    true => upstream
                        .params_of("tools/call")
                        .pop()
                        .map(|params| params["_meta"][CAPABILITIES].clone()),
                    false => upstream
                        .params_of("initialize")
                        .pop()
                        .map(|params| params["capabilities"].clone()),
                };
                let told = told.unwrap_or(Value::Null);
                assert_eq!(told["extensions"][UI], settings, "{is_modern} {version:?} {told}");
            }
        }
    }
}
