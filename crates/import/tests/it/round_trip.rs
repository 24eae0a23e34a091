//! What is written is read again as it was.

use std::collections::BTreeMap;

use portolan_core::Secret;
use portolan_import::{Format, Input, InputSource, Launch, Part, Secrets, Server, Text, TransportKind, export, import};
use proptest::prelude::*;
use serde_json::Value;

const CLIENTS: &[Format] = &[
    Format::Claude,
    Format::Vscode,
    Format::Cursor,
    Format::Windsurf,
    Format::Cline,
    Format::Roo,
    Format::Gemini,
    Format::Codex,
    Format::Zed,
    Format::Opencode,
    Format::Goose,
    Format::Continue,
    Format::Librechat,
    Format::Copilot,
];

/// Where this client's inputs come from.
fn source(format: Format, secret: bool) -> InputSource {
    match (format, secret) {
        (Format::Goose, _) => InputSource::Keyring,
        (Format::Continue, true) => InputSource::SecretStore,
        (Format::Continue, false) => InputSource::Prompt,
        _ => InputSource::Environment,
    }
}

fn input(format: Format, name: &str) -> Input {
    let secret = format == Format::Goose || name.contains("TOKEN");
    let mut input = Input::new(name, source(format, secret));
    input.secret = secret;
    input
}

/// A server that every client can hold.
fn server(format: Format) -> impl Strategy<Value = Server> {
    let text = "[a-zA-Z0-9 _.,:;!?äß\"'#%&*()+=-]{1,16}";
    let program = (
        prop::collection::vec(text, 0..4),
        prop::collection::btree_map("[A-Z]{3,8}_X", text, 0..3),
        any::<bool>(),
    );
    let remote = (
        prop::collection::btree_map("X-[A-Z][a-z]{2,6}", "[a-z0-9]{1,8}", 0..3),
        any::<bool>(),
    );
    let placeholders = format != Format::Zed;
    prop_oneof![
        program.prop_map(move |(args, env, token)| {
            let args = args
                .into_iter()
                .filter(|arg| !arg.starts_with('-'))
                .map(Text::from)
                .collect();
            let mut server = Server::new(
                "one",
                Launch::Stdio {
                    command: "one-mcp".into(),
                    args,
                    cwd: None,
                },
            );
            let unlike = |name: &String| {
                !["KEY", "AUTH", "TOKEN", "SECRET", "PASS", "CRED"]
                    .iter()
                    .any(|word| name.contains(word))
            };
            server.env = env
                .into_iter()
                .filter(|(name, _)| unlike(name))
                .map(|(name, value)| (name, value.into()))
                .collect();
            if token && placeholders {
                server.env.insert("ONE_TOKEN".into(), Text::input("ONE_TOKEN"));
                server.inputs.push(input(format, "ONE_TOKEN"));
            }
            server
        }),
        remote.prop_map(move |(headers, token)| {
            let launch = Launch::Http {
                url: "https://one.example.com/mcp".into(),
                transport: transport(format),
            };
            let mut server = Server::new("one", launch);
            let unlike = |name: &String| !["key", "auth"].iter().any(|word| name.to_lowercase().contains(word));
            server.headers = headers
                .into_iter()
                .filter(|(name, _)| unlike(name))
                .map(|(name, value)| (name, value.into()))
                .collect();
            if token && placeholders {
                let bearer = Text::new([Part::Literal("Bearer ".into()), Part::Input("ONE_TOKEN".into())]);
                server.headers.insert("Authorization".into(), bearer);
                server.inputs.push(input(format, "ONE_TOKEN"));
            }
            server
        }),
    ]
}

/// opencode always tries both transports.
fn transport(format: Format) -> TransportKind {
    match format {
        Format::Opencode => TransportKind::Either,
        _ => TransportKind::StreamableHttp,
    }
}

/// The result form without warnings, which say how a file was written.
fn plain(server: &Server) -> Value {
    let mut value = serde_json::to_value(server).expect("JSON");
    if let Some(members) = value.as_object_mut() {
        members.remove("warnings");
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_servers_are_read_again((format, server) in prop::sample::select(CLIENTS).prop_flat_map(|format| (Just(format), server(format)))) {
        let text = export(format, std::slice::from_ref(&server), Secrets::Placeholders).expect("writable");
        let found = import(format, &text).unwrap_or_else(|error| panic!("{format}: {error}\n{text}"));
        prop_assert!(found.rejected.is_empty() && found.warnings.is_empty(), "{format}: {found:?}\n{text}");
        prop_assert_eq!(plain(&found.servers[0]), plain(&server), "{}\n{}", format, text);
    }
}

#[test]
fn gateways_round_trip_without_token() {
    for format in CLIENTS.iter().copied() {
        let token = Secret::new("ptl_0000-not-a-real-token");
        let gateway = Server::gateway("tools", "https://mcp.example.com/mcp/tools", Some(token));
        let text = export(format, &[gateway], Secrets::default()).expect("writable");
        assert!(!text.contains("ptl_0000"), "{format}: {text}");
        assert!(text.contains("PORTOLAN_TOKEN"), "{format}: {text}");
        let found = import(format, &text).expect("a valid file").servers;
        let expected = Launch::Http {
            url: "https://mcp.example.com/mcp/tools".into(),
            transport: transport(format),
        };
        assert_eq!(found[0].launch, expected, "{format}");
        assert!(found[0].inputs[0].secret, "{format}");
    }
}

#[test]
fn tokens_in_clear_are_asked_for() {
    for format in CLIENTS.iter().copied() {
        let token = Secret::new("ptl_0000-not-a-real-token");
        let gateway = Server::gateway("tools", "https://mcp.example.com/mcp/tools", Some(token.clone()));
        let text = export(format, &[gateway], Secrets::InClear).expect("writable");
        assert!(text.contains("Bearer ptl_0000-not-a-real-token"), "{format}: {text}");
        let found = import(format, &text).expect("a valid file").servers;
        assert_eq!(found[0].inputs[0].value.as_ref(), Some(&token), "{format}");
    }
}

#[test]
fn samples_survive_their_own_format() {
    let mut compared = BTreeMap::new();
    for (name, format, text, _) in crate::samples::all() {
        let Ok(found) = import(format, &text) else { continue };
        for server in found.servers {
            let Ok(text) = export(format, std::slice::from_ref(&server), Secrets::Placeholders) else {
                continue;
            };
            let again = import(format, &text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            assert_eq!(again.servers.len(), 1, "{name}: {again:?}\n{text}");
            let transport = |server: &Server| matches!(&server.launch, Launch::Http { .. });
            assert_eq!(transport(&again.servers[0]), transport(&server), "{name}");
            assert_eq!(
                again.servers[0].enabled,
                server.enabled || matches!(format, Format::Gemini),
                "{name}"
            );
            *compared.entry(format.as_str()).or_insert(0) += 1;
        }
    }
    assert!(compared.len() >= 13, "{compared:?}");
}

#[test]
fn documents_are_not_written() {
    let server = Server::gateway("tools", "https://mcp.example.com/mcp/tools", None);
    for format in [
        Format::ServerJson,
        Format::RegistryList,
        Format::Mcpb,
        Format::DockerCatalog,
        Format::DockerSource,
    ] {
        assert!(
            export(format, std::slice::from_ref(&server), Secrets::Placeholders).is_err(),
            "{format}"
        );
    }
}
