//! Hosts and origins.

use portolan_gateway::Hosts;

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    upstreams::{Eras, http},
};

#[tokio::test]
async fn foreign_hosts_and_origins_refused() {
    let upstream = http(Eras::Both).await;
    let gateways = [
        (Hosts::Loopback, vec![], vec!["mcp.example.com", "MCP.example.com:443"]),
        (
            Hosts::Only(vec!["mcp.example.com".into()]),
            vec!["mcp.example.com", "MCP.example.com:443"],
            vec![],
        ),
    ];
    for (hosts, more, less) in gateways {
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| {
                config.hosts = hosts;
                config.origins = vec!["https://app.example.com".into()];
            })
            .start()
            .await;
        let client = gateway.client(ClientVersion::V2026_07_28);
        let list = || client.request("1", "tools/list", "", "");
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1",
            "127.0.0.1:99",
            "[::1]",
            "[::1]:80",
        ]
        .iter()
        .chain(&more)
        {
            assert_eq!(client.send(&list().with("host", host)).await.status(), 200, "{host}");
            let origin = format!("http://{host}");
            assert_eq!(
                client.send(&list().with("origin", &origin)).await.status(),
                200,
                "{origin}"
            );
        }
        for host in [
            "evil.com",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "127.0.0.2",
            "[::2]",
            "",
            "evil.com:80@localhost",
            "localhost:80:evil",
            "localhost:evil.com",
            "127.0.0.1:99999",
            "[::1]:x",
        ]
        .iter()
        .chain(&less)
        {
            let answer = client.send(&list().with("host", host)).await;
            assert!(
                answer.status() == 403 || (answer.status() == 400 && answer.body.is_empty()),
                "{host:?} {answer:?}"
            );
        }
        for origin in [
            "https://evil.com",
            "null",
            "http://localhost.evil.com",
            "http://localhost@evil.com",
            "file://",
            "http://evil.com/localhost",
            "ftp://localhost",
            "https://app.example.com.evil.com",
        ] {
            let answer = client.send(&list().with("origin", origin)).await;
            assert_eq!((answer.status(), answer.code()), (403, -32600), "{origin}");
            assert!(
                !answer
                    .head
                    .headers
                    .iter()
                    .any(|(name, _)| name.starts_with("access-control")),
                "CORS is not reflected"
            );
        }
        let answer = client.send(&list().with("origin", "https://app.example.com")).await;
        assert_eq!(answer.status(), 200);
        assert!(
            !answer
                .head
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("access-control"))
        );
        assert_eq!(
            client
                .send(
                    &list()
                        .with("origin", "http://localhost")
                        .and("origin", "http://localhost")
                )
                .await
                .status(),
            403
        );
        assert_eq!(client.send(&list().without("host")).await.status(), 403);
        // The check comes before the one for a token: it says nothing about tokens.
        assert_eq!(
            client
                .send(&list().with("host", "evil.com").without("authorization"))
                .await
                .status(),
            403
        );
    }
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.hosts = Hosts::Any)
        .start()
        .await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    let list = || {
        client
            .request("1", "tools/list", "", "")
            .with("host", "anything.example")
    };
    assert_eq!(client.send(&list()).await.status(), 200);
    assert_eq!(
        client
            .send(&list().with("origin", "https://anything.example"))
            .await
            .status(),
        403
    );
}
