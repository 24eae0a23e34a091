use super::*;
use crate::{Error, Scope, ServerSpec};

fn remote() -> ServerSpec {
    ServerSpec::remote("s", "https://s.example.com/mcp").expect("a server")
}

fn refused(server: &ServerSpec) -> String {
    match server.check() {
        Err(Error::Invalid { problem, .. }) => problem,
        other => panic!("not {other:?}"),
    }
}

fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

#[test]
fn stored_spec_without_auth_is_read() {
    let stored = serde_json::to_value(remote()).expect("JSON");
    assert!(stored.get("auth").is_none() && stored.get("passthrough").is_none());
    assert_eq!(serde_json::from_value::<ServerSpec>(stored).expect("a spec"), remote());
}

#[test]
fn each_kind_survives_storage() {
    let mut exchange = TokenExchangeOptions::new(url("https://id.example.com/token"), "portolan");
    exchange.audience = Some("https://as.example.com".into());
    exchange.grant = ExchangeGrant::IdentityAssertion {
        token_endpoint: url("https://as.example.com/token"),
        client_id: "portolan".into(),
        method: Some(ClientAuthMethod::ClientSecretPost),
    };
    let scopes = [Scope::parse("read").expect("a scope")];
    for auth in [
        UpstreamAuth::AuthorizationCode(OAuthOptions::default().with_scopes(scopes)),
        UpstreamAuth::ClientCredentials(ClientCredentialsOptions::new("portolan")),
        UpstreamAuth::TokenExchange(exchange),
        UpstreamAuth::JwtPassthrough {
            audience: "https://s.example.com/mcp".into(),
        },
    ] {
        let server = remote().auth(auth);
        server.check().expect("valid");
        let stored = serde_json::to_string(&server).expect("JSON");
        assert_eq!(serde_json::from_str::<ServerSpec>(&stored).expect("a spec"), server);
    }
}

#[test]
fn stdio_server_has_no_token() {
    let server = ServerSpec::command("s", "serve", [""; 0]).expect("a server");
    let server = server.auth(UpstreamAuth::AuthorizationCode(OAuthOptions::default()));
    assert!(refused(&server).contains("Delivery::Env"));
}

#[test]
fn client_credentials_need_a_client() {
    let mut options = ClientCredentialsOptions::new("portolan");
    options.oauth.client = OAuthClient::Automatic;
    assert!(refused(&remote().auth(UpstreamAuth::ClientCredentials(options))).contains("pre-registered"));
}

#[test]
fn endpoint_without_http_is_refused() {
    for odd in [
        "file:///etc/passwd",
        "https://user:pw@id.example.com/token",
        "https://id.example.com/t#x",
    ] {
        let mut options = OAuthOptions::default();
        options.overrides.token_endpoint = Some(url(odd));
        assert!(
            refused(&remote().auth(UpstreamAuth::AuthorizationCode(options))).contains("HTTP URL"),
            "{odd}"
        );
    }
}

#[test]
fn credential_headers_need_opt_in() {
    for name in ["Authorization", "cookie"] {
        let mut server = remote();
        server.passthrough.names.insert(name.into());
        assert!(refused(&server).contains("allow_credentials"));
        server.passthrough.allow_credentials = true;
        server.check().expect("valid");
    }
}

#[test]
fn hop_by_hop_headers_never_pass() {
    for name in [
        "Connection",
        "transfer-encoding",
        "Proxy-Authorization",
        "Mcp-Session-Id",
        "Host",
    ] {
        let mut server = remote();
        server.passthrough.names.insert(name.into());
        server.passthrough.allow_credentials = true;
        assert!(refused(&server).contains("connection or the protocol"), "{name}");
    }
}
