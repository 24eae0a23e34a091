//! No input makes the import panic, and no result holds a secret of the file.

use std::sync::LazyLock;

use portolan_import::{Format, import, report};
use proptest::prelude::*;

use crate::samples;

/// Read once.
static SAMPLES: LazyLock<Vec<(String, Format, String, serde_json::Value)>> = LazyLock::new(samples::all);

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Delete { at: usize, length: usize },
    Insert { at: usize, text: &'static str },
    Copy { from: usize, length: usize, to: usize },
    Swap { from: &'static str, to: &'static str },
}

const FRAGMENTS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "-1",
    "1e400",
    "\\ud800",
    "\u{feff}",
    "${",
    "${A:-${B}}",
    "{{",
    "}}",
    "<<",
    ">>",
    "\n",
    "\t",
    "é",
    "🦀",
    "#",
    "//",
    "/*",
    "- ",
    "&a ",
    "*a",
    "!!x ",
    "$",
    "{env:",
    "@",
    "--",
    "=",
    "'",
];

const WORDS: &[&str] = &[
    "command",
    "args",
    "env",
    "url",
    "type",
    "headers",
    "npx",
    "uvx",
    "docker",
    "run",
    "cmd",
    "mcp-remote",
    "--header",
    "http",
    "-y",
    "/c",
    "\"",
    "enabled",
    "timeout",
    "name",
    "packages",
    "remotes",
    "value",
    "@",
    "==",
    "${",
    "[",
    "{",
    "true",
    "1",
];

fn change() -> impl Strategy<Value = Change> {
    let place = 0usize..4_000;
    prop_oneof![
        (place.clone(), 1usize..40).prop_map(|(at, length)| Change::Delete { at, length }),
        (place.clone(), prop::sample::select(FRAGMENTS)).prop_map(|(at, text)| Change::Insert { at, text }),
        (place.clone(), 1usize..80, place).prop_map(|(from, length, to)| Change::Copy { from, length, to }),
        (prop::sample::select(WORDS), prop::sample::select(WORDS)).prop_map(|(from, to)| Change::Swap { from, to }),
    ]
}

fn apply(text: &str, change: &Change) -> String {
    let chars: Vec<char> = text.chars().collect();
    let place = |at: usize| at % (chars.len() + 1);
    let part = |from: usize, length: usize| {
        let from = place(from);
        from..(from + length).min(chars.len())
    };
    match *change {
        Change::Delete { at, length } => {
            let gone = part(at, length);
            chars[..gone.start].iter().chain(&chars[gone.end..]).collect()
        }
        Change::Insert { at, text } => {
            let at = place(at);
            chars[..at].iter().collect::<String>() + text + &chars[at..].iter().collect::<String>()
        }
        Change::Copy { from, length, to } => {
            let (copied, to) = (part(from, length), place(to));
            chars[..to].iter().chain(&chars[copied]).chain(&chars[to..]).collect()
        }
        Change::Swap { from, to } => text.replacen(from, to, 2),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_samples_never_panic(
        sample in 0usize..1_000,
        changes in prop::collection::vec(change(), 1..6),
        other in prop::option::weighted(0.3, 0usize..Format::ALL.len()),
    ) {
        let (_, format, text, _) = &SAMPLES[sample % SAMPLES.len()];
        let format = other.map_or(*format, |other| Format::ALL[other]);
        let text = changes.iter().fold(text.clone(), |text, change| apply(&text, change));
        let result = import(format, &text);
        let _ = report(format, &result).to_string();
        for server in result.iter().flat_map(|import| &import.servers) {
            let _ = server.installable();
        }
    }

    #[test]
    fn arbitrary_commands_never_panic(words in prop::collection::vec(word(), 1..9)) {
        let file = serde_json::json!({"mcpServers": {"x": {"command": words[0], "args": words[1..], "env": {"A": "$A", "B": "${B}"}}}});
        for format in [Format::Claude, Format::Gemini, Format::Cursor] {
            let _ = import(format, &file.to_string());
        }
    }

    #[test]
    fn literal_secrets_stay_out(token in "[a-z]{6}-0000-not-a-real-token", bearer in any::<bool>()) {
        let value = if bearer { format!("Bearer {token}") } else { token.clone() };
        let file = serde_json::json!({"mcpServers": {
            "a": {"command": "npx", "args": ["-y", "mcp-remote", "https://a.example.com/mcp", "--header", format!("Authorization: {value}")]},
            "b": {"command": "b", "env": {"B_TOKEN": token, "B": "x"}},
            "c": {"type": "http", "url": format!("https://c.example.com/mcp?api_key={token}"), "headers": {"Authorization": value, "X-Api-Key": token}},
            "d": {"command": "docker", "args": ["run", "-e", format!("D_TOKEN={token}"), "d/d:1"]},
            "e": {"command": "e", "args": ["--token", token, format!("--api-key={token}")]},
            "f": {"type": "http", "url": format!("https://user:{token}@f.example.com/mcp")},
        }});
        for format in [Format::Claude, Format::Vscode, Format::Cursor, Format::Gemini, Format::Copilot] {
            let result = import(format, &file.to_string());
            let report = report(format, &result).to_string();
            prop_assert!(!report.contains(&token), "{format}: {report}");
            let servers = result.expect("a valid file").servers;
            prop_assert!(servers.len() == 6);
            let shown = format!("{servers:?}");
            prop_assert!(!shown.contains(&token));
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let known = &[
        "npx",
        "npx.cmd",
        "cmd",
        "/c",
        "uvx",
        "uv",
        "tool",
        "run",
        "docker",
        "wsl",
        "-e",
        "-v",
        "--mount",
        "-p",
        "--package=",
        "--from",
        "dnx",
        "--",
        "mcp-remote",
        "supergateway",
        "mcp-proxy",
        "--header",
        "https://x.example.com",
        "a@",
        "@",
        "@a/",
        "@a/b@1.0.0",
        "git+",
        "git+https://x/y@z",
        "a[",
        "==",
        "",
        "-",
        "--env=",
        "-e=",
        "-eé",
        "type=bind,src=,dst=",
        "github:",
        "é",
        "${",
        "${A:-",
        "$",
        ":",
        "Authorization:${A}",
        "C:\\x\\npx.cmd",
        ".exe",
    ];
    prop_oneof![4 => prop::sample::select(&known[..]).prop_map(str::to_owned), 1 => "\\PC{0,12}"]
}
