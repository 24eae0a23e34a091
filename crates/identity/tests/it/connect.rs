//! Connect pages: who may use them, and what a sign-in is bound to.

use http::header;
use url::Url;

use crate::bed::{Bed, Browser, parameter, text};

#[tokio::test]
async fn sign_in_connects() {
    let bed = Bed::new().await;
    let (_, at) = bed.start().await.expect("a sign-in");
    for name in ["state", "code_challenge", "client_id", "redirect_uri", "resource"] {
        assert!(parameter(&at, name).is_some(), "{name}");
    }
    assert_eq!(parameter(&at, "state").expect("a state").len(), 43, "256 bits");
    let missing = bed.failure().await;
    let link = bed.broker.link(&bed.install.name);
    assert!(matches!(missing.action.as_deref(), Some(portolan_core::FailureAction::Connect { url }) if *url == link));
    bed.connected().await;
    assert_eq!(bed.token().await, "Bearer access-1");
}

#[tokio::test]
async fn state_is_taken_once() {
    let bed = Bed::new().await;
    let (browser, at) = bed.start().await.expect("a sign-in");
    let callback = bed.callback(&at);
    assert_eq!(
        bed.send(Some(&browser), "GET", &callback, String::new()).await.status(),
        200
    );
    let again = bed.send(Some(&browser), "GET", &callback, String::new()).await;
    assert_eq!(again.status(), 400);
    assert_eq!(bed.provider.requests("/token").len(), 1);
}

#[tokio::test]
async fn late_answer_is_refused() {
    let bed = Bed::new().await;
    let (browser, at) = bed.start().await.expect("a sign-in");
    bed.clock.advance(std::time::Duration::from_secs(601));
    let page = bed.send(Some(&browser), "GET", &bed.callback(&at), String::new()).await;
    assert_eq!(page.status(), 400);
    assert!(text(&page).contains("took too long"));
}

#[tokio::test]
async fn other_browser_is_refused() {
    let bed = Bed::new().await;
    let (browser, at) = bed.start().await.expect("a sign-in");
    let (other, _) = bed.open("alice").await;
    let wrong = [
        Browser {
            user: "alice",
            cookie: String::new(),
        },
        other,
        Browser {
            user: "bob",
            cookie: browser.cookie,
        },
    ];
    for (number, wrong) in wrong.iter().enumerate() {
        let (_, at) = if number == 0 {
            (None, at.clone())
        } else {
            bed.start().await.map(|(b, at)| (Some(b), at)).expect("a sign-in")
        };
        let page = bed.send(Some(wrong), "GET", &bed.callback(&at), String::new()).await;
        assert_eq!(page.status(), 403, "{number}");
    }
    assert!(bed.provider.requests("/token").is_empty());
    assert_eq!(
        bed.send(None, "GET", &bed.callback(&at), String::new()).await.status(),
        401
    );
}

#[tokio::test]
async fn other_issuer_is_refused() {
    let bed = Bed::new().await;
    for iss in [Some("https://evil.example.com"), Some("{base}/"), None] {
        let (browser, at) = bed.start().await.expect("a sign-in");
        let mut callback = Url::parse(&format!("https://h{}", bed.callback(&at))).expect("a URL");
        let state = parameter(&at, "state").expect("a state");
        callback
            .query_pairs_mut()
            .clear()
            .append_pair("state", &state)
            .append_pair("code", "c");
        callback
            .query_pairs_mut()
            .append_pair("error", "x")
            .append_pair("error_description", "sp3cial");
        if let Some(iss) = iss {
            callback
                .query_pairs_mut()
                .append_pair("iss", &iss.replace("{base}", &bed.provider.base));
        }
        let path = format!("/callback?{}", callback.query().expect("a query"));
        let page = bed.send(Some(&browser), "GET", &path, String::new()).await;
        assert_eq!(page.status(), 502, "{iss:?}");
        assert!(!text(&page).contains("sp3cial"), "nothing of it is shown");
    }
    assert!(bed.provider.requests("/token").is_empty());
}

#[tokio::test]
async fn refused_consent_is_told() {
    let bed = Bed::new().await;
    let (browser, at) = bed.start().await.expect("a sign-in");
    let state = parameter(&at, "state").expect("a state");
    let path = format!(
        "/callback?state={state}&iss={}&error=access_denied&error_description=No%3Cb%3E",
        bed.provider.base
    );
    let page = bed.send(Some(&browser), "GET", &path, String::new()).await;
    assert!(
        text(&page).contains("access_denied") && text(&page).contains("No&lt;b&gt;"),
        "{}",
        text(&page)
    );
}

#[tokio::test]
async fn install_of_another_user_looks_unknown() {
    let bed = Bed::new().await;
    let bob = Browser {
        user: "bob",
        cookie: String::new(),
    };
    let theirs = bed
        .send(Some(&bob), "GET", &format!("/{}", bed.install.name), String::new())
        .await;
    let unknown = bed
        .send(
            Some(&bob),
            "GET",
            "/00000000-0000-0000-0000-0000000000ff",
            String::new(),
        )
        .await;
    assert_eq!((theirs.status(), text(&theirs)), (unknown.status(), text(&unknown)));
    assert_eq!(theirs.status(), 404);
}

#[tokio::test]
async fn forged_form_is_refused() {
    let bed = Bed::new().await;
    let (browser, token) = bed.open("alice").await;
    let path = format!("/{}", bed.install.name);
    let (other, _) = bed.open("alice").await;
    for (browser, token) in [(&browser, ""), (&browser, "x"), (&other, token.as_str())] {
        let page = bed
            .send(Some(browser), "POST", &path, format!("action=start&token={token}"))
            .await;
        assert_eq!(page.status(), 403);
    }
    let long = format!("token={token}&x={}", "y".repeat(70_000));
    assert_eq!(bed.send(Some(&browser), "POST", &path, long).await.status(), 413);
}

#[tokio::test]
async fn disconnect_forgets_and_revokes() {
    let bed = Bed::new().await;
    bed.connected().await;
    bed.token().await;
    let (browser, token) = bed.open("alice").await;
    let list = text(&bed.send(Some(&browser), "GET", "", String::new()).await);
    assert!(list.contains("connected"), "{list}");
    let body = format!("action=disconnect&token={token}");
    let page = bed
        .send(Some(&browser), "POST", &format!("/{}", bed.install.name), body)
        .await;
    assert_eq!(page.status(), 200);
    assert_eq!(bed.provider.requests("/revoke")[0].form()["token"], "refresh-1");
    bed.failure().await;
}

#[tokio::test]
async fn pages_have_safe_headers() {
    let bed = Bed::new().await;
    let bob = Browser {
        user: "alice",
        cookie: String::new(),
    };
    let page = bed
        .send(Some(&bob), "GET", &format!("/{}", bed.install.name), String::new())
        .await;
    let get = |name: header::HeaderName| page.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(get(header::CACHE_CONTROL), "no-store");
    assert_eq!(get(header::REFERRER_POLICY), "no-referrer");
    let policy = get(header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let cookie = get(header::SET_COOKIE);
    assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure") && cookie.contains("HttpOnly; SameSite=Lax"));
    let html = text(&page);
    assert!(html.contains("<html lang=\"en\">") && html.contains("<h1>") && !html.contains("<script"));
}
