use proptest::prelude::*;
use url::Url;

use super::*;

fn server(name: &str) -> ServerName {
    ServerName::parse(name).expect("a name")
}

/// Server names, some of which are prefixes of others.
fn servers() -> impl Strategy<Value = ServerName> {
    "[ab0]{1,2}(-[ab0]{1,2}){0,2}".prop_map(|name| server(&name))
}

/// URIs, and what servers use as such.
fn uris() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z][a-zA-Z0-9+.-]{0,8}://[a-z0-9.]{0,8}(:[0-9]{1,4})?(/[a-zA-Z0-9%20_~-]{0,6}){0,4}([?][a-z=&]{0,6})?(#[a-z]{0,4})?",
        "(urn|mailto|data|URN):[a-zA-Z0-9:;,@/+]{0,16}",
        "(mcp[+](a|b-0)[+])?ui:/{0,3}[a-z/+]{0,8}",
        "(mcp[+]){0,2}[ab+:/-]{0,8}",
        "\\PC{0,12}",
    ]
}

#[test]
fn prefixed_forms() {
    let notes = server("my-notes");
    for (own, clients) in [
        ("file:///a/b?c#d", "mcp+my-notes+file:///a/b?c#d"),
        ("https://[::1]:8080/x", "mcp+my-notes+https://[::1]:8080/x"),
        ("urn:isbn:1", "mcp+my-notes+urn:isbn:1"),
        ("FILE:///a", "mcp+my-notes+FILE:///a"),
        ("note://{id}{?full*}", "mcp+my-notes+note://{id}{?full*}"),
        ("{scheme}://x", "mcp+my-notes+{scheme}://x"),
        ("mcp+other+a:b", "mcp+my-notes+mcp+other+a:b"),
        ("ui://chart/x?y", "ui://my-notes/chart/x?y"),
        ("ui:///x", "ui://my-notes//x"),
        ("ui://", "ui://my-notes/"),
        ("ui:x", "mcp+my-notes+ui:x"),
        ("UI://x", "mcp+my-notes+UI://x"),
        ("", "mcp+my-notes+"),
    ] {
        assert_eq!(&*prefixed(&notes, own), clients);
        assert_eq!(split(clients), Some(("my-notes", own.into())), "{clients}");
    }
}

#[test]
fn unprefixed_uris_name_no_server() {
    for other in [
        "",
        "file:///a",
        "mcp:a+b",
        "mcp+a",
        "mcp+a:b",
        "MCP+a+b:c",
        "ui://a",
        "UI://a/b",
        "ui:a/b",
        "x-mcp+a+b",
    ] {
        assert_eq!(split(other), None, "{other}");
    }
}

#[test]
fn template_with_variable_scheme() {
    // The client's expansion names the same resource, also if it turns out to be an app.
    assert_eq!(split("mcp+a+ui://x"), Some(("a", "ui://x".into())));
}

/// Expands a template with simple variables only.
fn expanded(template: &str, values: &[String]) -> String {
    let mut values = values.iter();
    let mut out = String::new();
    let mut rest = template;
    while let Some((text, (_, after))) = rest
        .split_once('{')
        .and_then(|(text, rest)| Some((text, rest.split_once('}')?)))
    {
        out += text;
        out += values.next().map_or("", String::as_str);
        rest = after;
    }
    out + rest
}

proptest! {
    #[test]
    fn uris_round_trip(server in servers(), own in uris()) {
        let clients = prefixed(&server, &own);
        prop_assert_eq!(split(&clients), Some((server.as_str(), own.as_str().into())));
    }

    #[test]
    fn uris_are_unique(one in servers(), other in servers(), first in uris(), second in uris()) {
        let same = one == other && first == second;
        prop_assert_eq!(prefixed(&one, &first) == prefixed(&other, &second), same);
        // No server can forge the URI of another.
        let forged = prefixed(&one, &prefixed(&other, &first));
        prop_assert_eq!(split(&forged).map(|(server, _)| server), Some(one.as_str()));
    }

    #[test]
    fn uris_keep_their_components(server in servers(), own in "[a-zA-Z][a-z0-9+.-]{0,8}://([a-z0-9]{1,8}(:[1-9][0-9]{0,3})?)?(/[a-zA-Z0-9_~-]{1,6}){0,4}([?][a-z=&]{1,6})?(#[a-z]{1,4})?") {
        // URL parsers treat the schemes of the web specially.
        prop_assume!(!["http", "https", "ws", "wss", "ftp", "file"].contains(&own.split(':').next().unwrap().to_lowercase().as_str()));
        let (before, after) = (Url::parse(&own), Url::parse(&prefixed(&server, &own)));
        let (Ok(before), Ok(after)) = (before, after) else {
            return Err(TestCaseError::fail(own));
        };
        if own.starts_with(APP) {
            return Ok(());
        }
        prop_assert_eq!(after.scheme(), format!("mcp+{server}+{}", before.scheme()));
        let parts = |url: &Url| (url.authority().to_owned(), url.path().to_owned(), url.query().map(str::to_owned), url.fragment().map(str::to_owned));
        prop_assert_eq!(parts(&before), parts(&after));
    }

    #[test]
    fn templates_expand_alike(
        server in servers(),
        template in "(ui://|[a-z{}]{0,2}|note://)([a-z/:]{0,3}(\\{[a-z]{1,3}\\})?){0,4}",
        values in prop::collection::vec("[a-z%/]{0,4}", 0..5),
    ) {
        let filled = expanded(&prefixed(&server, &template), &values);
        let own = expanded(&template, &values);
        prop_assert_eq!(split(&filled), Some((server.as_str(), own.into())));
    }

    #[test]
    fn json_and_text_agree(server in servers(), own in uris()) {
        let quoted = |uri: &str| Bytes::from(serde_json::json!({ "uri": uri }).to_string());
        prop_assert_eq!(in_text(&server, &quoted(&own), RESOURCE), quoted(&prefixed(&server, &own)));
    }
}
