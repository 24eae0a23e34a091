//! Where servers and providers publish their metadata, one oddity per case.

use portolan_core::{OAuthOptions, ResourceIndicator, UpstreamAuth};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, parameter, text},
    provider::Answer,
};

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
const SERVER: &str = "/.well-known/oauth-authorization-server";

fn not_found() -> Answer {
    Answer::json(404, "{}")
}

#[tokio::test]
async fn each_place_of_metadata_is_found() {
    let issuer_path = "/realms/r";
    for place in [
        "/.well-known/oauth-authorization-server/realms/r",
        "/.well-known/openid-configuration/realms/r",
        "/realms/r/.well-known/openid-configuration",
        "/realms/r/.well-known/oauth-authorization-server",
    ] {
        let bed = Bed::new().await;
        let issuer = format!("{}{issuer_path}", bed.provider.base);
        bed.provider.script().metadata =
            json!({"issuer": issuer, "authorization_response_iss_parameter_supported": false});
        bed.provider
            .answer(place, Answer::json(200, bed.provider.usual_metadata()));
        bed.provider.answer(SERVER, not_found());
        let resource = json!({"resource": format!("{}/mcp", bed.provider.base), "authorization_servers": [issuer]});
        bed.provider.answer(RESOURCE, Answer::json(200, resource));
        if let Err(page) = bed.start().await {
            panic!("{place}: {}", text(&page));
        }
    }
}

#[tokio::test]
async fn each_resource_is_accepted_as_written() {
    for (resource, sent) in [
        (json!("{base}/mcp"), "{base}/mcp"),
        (json!("{base}/mcp/"), "{base}/mcp/"),
        (json!("{base}"), "{base}"),
        (json!("{base}/"), "{base}/"),
        (json!("{base}/mcp?tenant=1"), "{base}/mcp?tenant=1"),
        (json!(""), "{base}/mcp"),
        (Value::Null, "{base}/mcp"),
    ] {
        let bed = Bed::new().await;
        let fill = |text: &str| text.replace("{base}", &bed.provider.base);
        let document = json!({"resource": resource, "authorization_servers": [bed.provider.base]});
        bed.provider
            .answer(RESOURCE, Answer::json(200, fill(&document.to_string())));
        let (_, at) = bed
            .start()
            .await
            .unwrap_or_else(|page| panic!("{resource}: {}", text(&page)));
        assert_eq!(parameter(&at, "resource"), Some(fill(sent)), "{resource}");
    }
}

#[tokio::test]
async fn foreign_resource_is_refused() {
    for resource in [
        "{base}/mc",
        "{base}/other",
        "https://other.example.com/mcp",
        "{base}/mcp/deeper",
        "urn:x",
    ] {
        let bed = Bed::new().await;
        let resource = resource.replace("{base}", &bed.provider.base);
        let document = json!({"resource": resource, "authorization_servers": [bed.provider.base]});
        bed.provider.answer(RESOURCE, Answer::json(200, document));
        let page = bed.start().await.err().expect("refused");
        assert!(text(&page).contains("another resource"), "{resource}: {}", text(&page));
    }
}

#[tokio::test]
async fn missing_metadata_are_looked_for() {
    // Without resource metadata the origin is the issuer; a challenge is not needed either.
    let bed = Bed::new().await;
    bed.provider.answer("/mcp", Answer::json(401, "{}"));
    bed.provider.answer(RESOURCE, not_found());
    let (_, at) = bed.start().await.expect("a sign-in");
    assert_eq!(parameter(&at, "resource"), Some(format!("{}/mcp", bed.provider.base)));
    // Only at the root, and without issuers.
    let document = json!({"resource": bed.provider.base, "scopes_supported": ["read"], "authorization_servers": null});
    bed.provider
        .answer("/.well-known/oauth-protected-resource", Answer::json(200, document));
    let (_, at) = bed.start().await.expect("a sign-in");
    assert_eq!(parameter(&at, "scope").as_deref(), Some("read"));
}

#[tokio::test]
async fn second_issuer_is_tried() {
    let bed = Bed::new().await;
    let resource = json!({"authorization_servers": [format!("{}/down", bed.provider.base), bed.provider.base]});
    bed.provider.answer(RESOURCE, Answer::json(200, resource));
    bed.start()
        .await
        .map(drop)
        .unwrap_or_else(|page| panic!("{}", text(&page)));
}

#[tokio::test]
async fn odd_metadata_are_read_or_refused() {
    for (change, words) in [
        (json!({"registration_endpoint": null}), "registers no clients"),
        (json!({"registration_endpoint": ""}), "registers no clients"),
        (json!({"scopes_supported": null, "revocation_endpoint": ""}), ""),
        (json!({"code_challenge_methods_supported": "(none)"}), "assume_pkce"),
        (json!({"code_challenge_methods_supported": ["plain"]}), "assume_pkce"),
        (json!({"issuer": "{base}/"}), "differ by a final slash"),
        (
            json!({"issuer": "https://other.example.com"}),
            "must publish the issuer",
        ),
        (json!({"issuer": null}), "publishes no metadata"),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), "use https"),
        (
            json!({"token_endpoint": "https://10.0.0.1/token"}),
            "not on the public internet",
        ),
        (json!({"token_endpoint": null}), "no token_endpoint"),
    ] {
        let bed = Bed::new().await;
        let change: Value =
            serde_json::from_str(&change.to_string().replace("{base}", &bed.provider.base)).expect("JSON");
        bed.provider.script().metadata = change.clone();
        match bed.start().await {
            Ok(_) => assert_eq!(words, "", "{change}"),
            Err(page) => assert!(
                !words.is_empty() && text(&page).contains(words),
                "{change}: {}",
                text(&page)
            ),
        }
    }
}

#[tokio::test]
async fn query_of_endpoint_is_kept() {
    let bed = Bed::new().await;
    let url = format!("{}/authorize?p=b2c_1", bed.provider.base);
    bed.provider.script().metadata = json!({"authorization_endpoint": url, "scopes_supported": ["offline_access"]});
    let (_, at) = bed.start().await.expect("a sign-in");
    assert_eq!(parameter(&at, "p").as_deref(), Some("b2c_1"));
    assert_eq!(parameter(&at, "code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(parameter(&at, "scope").as_deref(), Some("offline_access"));
    assert_eq!(parameter(&at, "prompt").as_deref(), Some("consent"));
}

#[tokio::test]
async fn overrides_need_no_metadata() {
    let mut options = OAuthOptions::default().with_client(portolan_core::OAuthClient::pre_registered("portolan"));
    options.overrides.resource = ResourceIndicator::Omit;
    let mut bed = Bed::with(UpstreamAuth::AuthorizationCode(options.clone())).await;
    options.overrides.authorization_endpoint = format!("{}/authorize", bed.provider.base).parse().ok();
    options.overrides.token_endpoint = format!("{}/token", bed.provider.base).parse().ok();
    bed.server.auth = UpstreamAuth::AuthorizationCode(options);
    let request = bed
        .broker
        .authorize(&bed.server, &bed.install, "state")
        .await
        .expect("a request");
    assert_eq!(parameter(&request.url, "resource"), None);
    assert!(bed.provider.script().seen.is_empty());
}
