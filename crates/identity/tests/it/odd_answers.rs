//! One oddity of a provider per case: it works, or is refused in words.

use portolan_core::{ClientAuthMethod, OAuthClient, OAuthOptions, UpstreamAuth};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, text},
    provider::Answer,
};

/// Signs in with `answer` of the token endpoint.
async fn with_token(answer: Answer) -> (Bed, http::Response<bytes::Bytes>) {
    let bed = Bed::new().await;
    bed.provider.answer("/token", answer);
    let page = bed.connect().await;
    (bed, page)
}

#[tokio::test]
async fn odd_token_answers_work() {
    let cases = [
        Answer::json(200, r#"{"access_token":"t","token_type":"bearer","expires_in":"3600"}"#),
        Answer::json(200, r#"{"access_token":"t","token_type":"BEARER","expires_in":3600.0}"#),
        Answer::json(200, r#"{"access_token":"t","token_type":"bot","expires_in":-1}"#),
        Answer::json(200, r#"{"access_token":"t","token_type":"Bearer","expires_in":0}"#),
        Answer::json(
            200,
            r#"{"access_token":"t","expires_in":null,"scope":null,"refresh_token":null}"#,
        ),
        Answer::json(200, r#"{"access_token":"t","token_type":null,"refresh_token":""}"#),
        Answer::json(200, r#"{"access_token":"t","token_type":"","scope":["a","b"]}"#),
        Answer::json(200, r#"{"access_token":"t","token_type":"bearer","scope":"repo,gist"}"#),
        Answer::json(201, r#"{"access_token":"t","token_type":"Bearer"}"#),
        Answer::text(200, "text/plain", r#"{"access_token":"t","token_type":"Bearer"}"#),
        Answer::text(
            200,
            "Application/JSON; charset=UTF-8",
            r#"{"access_token":"t","token_type":"Bearer"}"#,
        ),
        Answer::text(
            200,
            "application/x-www-form-urlencoded",
            "access_token=t&scope=repo%2Cgist&token_type=bearer",
        ),
        Answer::text(200, "", "access_token=t&expires_in=3600"),
        Answer::json(
            200,
            r#"{"ok":true,"authed_user":{"access_token":"t","scope":"a,b","token_type":"user"}}"#,
        ),
        Answer::json(
            200,
            r#"{"access_token":"t","token_type":"Bearer","team_id":7,"not-before-policy":0}"#,
        ),
    ];
    for answer in cases {
        let (bed, page) = with_token(answer.clone()).await;
        assert_eq!(page.status(), 200, "{answer:?}: {}", text(&page));
        assert_eq!(bed.token().await, "Bearer t", "{answer:?}");
    }
}

#[tokio::test]
async fn refused_token_answers_say_why() {
    let cases = [
        (
            Answer::json(
                200,
                r#"{"error":"bad_verification_code","error_description":"too late"}"#,
            ),
            "too late",
        ),
        (
            Answer::json(200, r#"{"ok":false,"error":"invalid_code"}"#),
            "invalid_code",
        ),
        (
            Answer::text(200, "text/plain", "error=access_denied&error_description=not+you"),
            "not you",
        ),
        (
            Answer::json(400, r#"{"error":{"code":"x1"},"message":"no such app"}"#),
            "no such app",
        ),
        (
            Answer::json(
                400,
                r#"{"error":"invalid_grant","error_description":"code the-code is spent"}"#,
            ),
            "code … is spent",
        ),
        (Answer::json(400, r#"{"error":"invalid_target"}"#), "invalid_target"),
        (
            Answer::json(200, r#"{"access_token":"t","token_type":"DPoP"}"#),
            "bearer tokens only",
        ),
        (
            Answer::json(200, r#"{"access_token":"t","token_type":"N_A"}"#),
            "bearer tokens only",
        ),
        (
            Answer::json(200, r#"{"access_token":"a\nb","token_type":"Bearer"}"#),
            "fits no header",
        ),
        (Answer::text(500, "text/html", "<h1>oops</h1>"), "answered 500"),
        (Answer::text(302, "text/html", ""), "not followed"),
        (Answer::json(429, "{}"), "answered 429"),
    ];
    for (answer, words) in cases {
        let (_, page) = with_token(answer.clone()).await;
        assert!(page.status().as_u16() >= 400, "{answer:?}");
        assert!(text(&page).contains(words), "{answer:?}: {}", text(&page));
        assert!(!text(&page).contains("the-code"), "a secret shows");
    }
}

async fn with_registration(change: Value) -> (Bed, http::Response<bytes::Bytes>) {
    let bed = Bed::new().await;
    bed.provider.script().registration = change;
    let page = bed.connect().await;
    (bed, page)
}

#[tokio::test]
async fn odd_registrations_work() {
    // What the answer changes, and how the client authenticates then.
    let basic = "Basic ZHluYW1pYy0xOmElMkJiJTJGYyUyNQ==";
    let cases = [
        (
            json!({"redirect_uris": "(none)", "token_endpoint_auth_method": "(none)"}),
            None,
            false,
        ),
        (
            json!({"client_secret": "", "client_secret_expires_at": null}),
            None,
            false,
        ),
        (
            json!({"client_secret": "a+b/c%", "token_endpoint_auth_method": "client_secret_basic"}),
            Some(basic),
            false,
        ),
        (
            json!({"client_secret": "a+b/c%", "token_endpoint_auth_method": "(none)"}),
            Some(basic),
            false,
        ),
        (
            json!({"client_secret": "a+b/c%", "token_endpoint_auth_method": "client_secret_post"}),
            None,
            true,
        ),
        (
            json!({"client_secret": "a+b/c%", "token_endpoint_auth_method": ""}),
            Some(basic),
            false,
        ),
    ];
    for (change, authorization, in_body) in cases {
        let (bed, page) = with_registration(change.clone()).await;
        assert_eq!(page.status(), 200, "{change}: {}", text(&page));
        let token = &bed.provider.requests("/token")[0];
        assert_eq!(token.authorization.as_deref(), authorization, "{change}");
        let secret = token.form().get("client_secret").cloned();
        assert_eq!(secret.as_deref(), in_body.then_some("a+b/c%"), "{change}");
    }
}

#[tokio::test]
async fn refused_registrations_say_why() {
    for (change, words) in [
        (json!({"client_id": ""}), "no client_id"),
        (
            json!({"redirect_uris": ["https://other.example.com/"]}),
            "another redirect URI",
        ),
        (
            json!({"token_endpoint_auth_method": "private_key_jwt"}),
            "which this platform has not",
        ),
        (
            json!({"token_endpoint_auth_method": "client_secret_basic"}),
            "no client_secret",
        ),
    ] {
        let (_, page) = with_registration(change.clone()).await;
        assert!(text(&page).contains(words), "{change}: {}", text(&page));
    }
    let bed = Bed::new().await;
    let refusal = json!({"error": "insufficient_scope", "error_description": "Policy 'Trusted Hosts' rejected"});
    bed.provider.answer("/register", Answer::json(403, refusal));
    let page = text(&bed.connect().await);
    assert!(
        page.contains("Trusted Hosts") && page.contains("PreRegistered"),
        "{page}"
    );
}

#[tokio::test]
async fn registration_is_kept_until_its_secret_ends() {
    let bed = Bed::new().await;
    let end = portolan_core::Clock::now(&*bed.clock).as_second() + 86_400;
    bed.provider.script().registration = json!({
        "client_secret": "s3cr3t", "client_secret_expires_at": end, "token_endpoint_auth_method": "client_secret_basic",
    });
    bed.connected().await;
    bed.connected().await;
    assert_eq!(bed.provider.requests("/register").len(), 1);
    bed.clock.advance(std::time::Duration::from_secs(86_401));
    bed.provider.script().registration = json!({});
    bed.connected().await;
    let requests = bed.provider.requests("/register");
    assert_eq!(requests.len(), 2);
    let asked: Value = serde_json::from_str(&requests[0].body).expect("JSON");
    assert_eq!(asked["application_type"], "web");
    assert_eq!(
        asked["redirect_uris"],
        json!(["https://mcp.example.com/connect/callback"])
    );
}

#[tokio::test]
async fn documented_client_needs_no_registration() {
    let bed = Bed::new().await;
    bed.provider.script().metadata = json!({"client_id_metadata_document_supported": true});
    let (_, at) = bed.start().await.expect("a sign-in");
    let document = "https://mcp.example.com/connect/client.json";
    assert_eq!(crate::bed::parameter(&at, "client_id").as_deref(), Some(document));
    assert!(bed.provider.requests("/register").is_empty());
    let found = bed.send(None, "GET", "/client.json", String::new()).await;
    let found: Value = serde_json::from_slice(found.body()).expect("JSON");
    assert_eq!(found["client_id"], document);
}

#[tokio::test]
async fn pre_registered_client_uses_its_secret() {
    use portolan_core::{CredentialKey, CredentialStore, FieldKey, Precondition, Secret};
    let client = OAuthClient::PreRegistered {
        client_id: "portolan".into(),
        method: Some(ClientAuthMethod::ClientSecretPost),
    };
    let bed = Bed::with(UpstreamAuth::AuthorizationCode(
        OAuthOptions::default().with_client(client),
    ))
    .await;
    let field = FieldKey::parse(OAuthClient::SECRET).expect("a field");
    let key = CredentialKey::of_server(&bed.server.name, &field);
    bed.store
        .put(&key, Secret::new("hunter2"), Precondition::None)
        .await
        .expect("stored");
    bed.connected().await;
    let form = bed.provider.requests("/token")[0].form();
    assert_eq!(
        (form["client_id"].as_str(), form["client_secret"].as_str()),
        ("portolan", "hunter2")
    );
    assert!(form.contains_key("code_verifier") && form["resource"].ends_with("/mcp"));
}
