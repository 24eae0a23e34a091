//! Servers behind a channel.

use portolan_client::{Era, Tools};
use serde_json::json;

use crate::support::{TestChannel, none};

#[tokio::test]
async fn tools_are_listed_and_called() {
    for modern in [false, true] {
        let server = TestChannel::new(modern).server();
        let tools = server.list::<Tools>(&none()).await.expect("a list");
        assert!(tools.items.get("echo").is_some());
        let result = server.call_tool("echo", json!({ "text": "hi" }), &none()).await;
        assert_eq!(result.expect("a result").text(), "hi");
    }
}

#[tokio::test]
async fn handshake_is_server_info() {
    for (modern, era) in [(false, Era::Legacy), (true, Era::Modern)] {
        let server = TestChannel::new(modern).server();
        let info = server.connect(&none()).await.expect("a handshake");
        assert_eq!(info.era(), era);
        assert_eq!(
            (info.name.as_deref(), info.version.as_deref()),
            (Some("piped"), Some("3"))
        );
        assert!(info.has("tools", "listChanged"));
    }
}
