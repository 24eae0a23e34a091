//! Imported servers as entries of the catalogue.

use portolan_core::{Delivery, Source};
use portolan_import::{Format, import};

fn one(format: Format, text: &str) -> portolan_import::Server {
    import(format, text).expect("a valid file").servers.remove(0)
}

#[test]
fn remote_server_with_literal_token() {
    let text = r#"{"mcpServers": {"Beacon": {"type": "http", "url": "https://beacon.example.com/mcp",
        "headers": {"Authorization": "Bearer b-0000-not-a-real-token", "X-Team": "north"}}}}"#;
    let made = one(Format::Claude, text).installable().expect("a server");
    assert_eq!(made.spec.headers["X-Team"], "north");
    let field = &made.spec.fields[0];
    assert!(field.secret && field.required);
    assert_eq!(
        field.delivery,
        Delivery::Header {
            name: "Authorization".into(),
            prefix: "Bearer ".into()
        }
    );
    assert_eq!(
        made.answers.secrets()[field.key.as_str()].reveal(),
        "b-0000-not-a-real-token"
    );
    assert!(!format!("{made:?}").contains("b-0000"));
}

#[test]
fn local_server_with_inputs() {
    let text = r#"{"mcpServers": {"harbour": {"command": "harbour-mcp", "args": ["--region", "${REGION:-eu}"],
        "env": {"HARBOUR_TOKEN": "${HARBOUR_TOKEN}", "MODE": "ro", "URL": "https://${HOST}/x"}, "timeout": 1000}}}"#;
    let made = one(Format::Claude, text).installable().expect("a server");
    let Source::Command { program, args, .. } = &made.spec.source else {
        panic!("{:?}", made.spec.source)
    };
    assert_eq!(
        (program.as_str(), args[1].as_str()),
        ("harbour-mcp", "${user_config.REGION}")
    );
    let keys: Vec<_> = made
        .spec
        .fields
        .iter()
        .map(|field| (field.key.as_str(), field.default.as_deref(), field.secret))
        .collect();
    assert_eq!(
        keys,
        [
            ("REGION", Some("eu"), false),
            ("HARBOUR_TOKEN", None, true),
            ("MODE", Some("ro"), false)
        ]
    );
    let members: Vec<_> = made.unmapped.iter().map(|unmapped| unmapped.member.as_str()).collect();
    assert_eq!(members, ["env.URL", "timeouts"]);
}

#[test]
fn what_cannot_run_says_why() {
    for (text, member) in [
        (
            r#"{"mcpServers": {"a": {"type": "sse", "url": "https://a.example.com/sse"}}}"#,
            "launch.transport",
        ),
        (
            r#"{"mcpServers": {"a": {"command": "a", "args": ["--key", "${A_KEY}"]}}}"#,
            "launch.args",
        ),
        (
            r#"{"mcpServers": {"a": {"type": "http", "url": "https://${HOST}/mcp"}}}"#,
            "launch.url",
        ),
        (r#"{"mcpServers": {"§§": {"command": "a"}}}"#, "name"),
    ] {
        assert_eq!(
            one(Format::Claude, text)
                .installable()
                .expect_err("not installable")
                .member,
            member
        );
    }
}

#[test]
fn most_samples_are_installable() {
    let servers: Vec<_> = crate::samples::all()
        .into_iter()
        .filter_map(|(_, format, text, _)| import(format, &text).ok())
        .flat_map(|import| import.servers)
        .collect();
    let (made, refused): (Vec<_>, Vec<_>) = servers
        .iter()
        .map(portolan_import::Server::installable)
        .partition(Result::is_ok);
    assert!(made.len() > 60, "{} of {}: {refused:?}", made.len(), servers.len());
    for unmapped in refused.into_iter().filter_map(Result::err) {
        assert!(
            unmapped.member.starts_with("launch") || unmapped.member == "serves",
            "{unmapped}"
        );
    }
}
