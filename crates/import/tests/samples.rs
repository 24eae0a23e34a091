//! Every sample gives its expected result.

use std::{fs, path::PathBuf};

use portolan_import::{Format, import_named};
use serde_json::Value;

fn samples() -> Vec<(PathBuf, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the samples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if name.ends_with(".expected.json") {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a stem");
        let expected = fs::read_to_string(path.with_file_name(format!("{stem}.expected.json"))).expect("a result");
        found.push((path.clone(), serde_json::from_str(&expected).expect("JSON")));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(found.len() >= 40);
    found
}

/// Sorts what has no order.
fn sorted(mut result: Value) -> Value {
    let sort = |list: Option<&mut Value>| {
        if let Some(Value::Array(items)) = list {
            items.sort_by_key(ToString::to_string);
        }
    };
    sort(result.get_mut("warnings"));
    for server in result
        .get_mut("servers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        sort(server.get_mut("warnings"));
        sort(server.get_mut("inputs"));
    }
    result
}

fn imported(format: Format, text: &str) -> Value {
    serde_json::to_value(import_named(format, "server", text)).expect("JSON")
}

#[test]
fn samples_give_expected_results() {
    let mut wrong = Vec::new();
    for (path, expected) in samples() {
        let format: Format = expected["format"]
            .as_str()
            .expect("a format")
            .parse()
            .expect("a format");
        let found = sorted(imported(format, &fs::read_to_string(&path).expect("a sample")));
        let expected = sorted(expected);
        if found != expected {
            wrong.push(format!("{}\n   found {found}\nexpected {expected}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} samples:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// No input makes the importer panic: each sample, cut and changed at each of many places, as each format.
#[test]
fn broken_files_do_not_panic() {
    for (path, _) in samples() {
        let text = fs::read_to_string(&path).expect("a sample");
        let boundaries: Vec<_> = text.char_indices().map(|(at, _)| at).step_by(17).collect();
        for at in boundaries {
            let next = text[at..].chars().next().map_or(0, char::len_utf8);
            for changed in [
                text[..at].to_owned(),
                format!("{}{}", &text[..at], &text[at + next..]),
                text[..at].to_owned() + "\"${{{$<" + &text[at..],
            ] {
                for format in Format::ALL {
                    let _ = imported(*format, &changed);
                }
            }
        }
    }
}

#[test]
fn literal_secrets_are_not_shown() {
    let file =
        r#"{"mcpServers": {"a": {"command": "a", "args": ["--token", "hunter2"], "env": {"API_KEY": "hunter2"}}}}"#;
    let found = import_named(Format::Claude, "a", file);
    assert!(!format!("{found:?}").contains("hunter2"));
    let servers = found.servers.expect("servers");
    assert_eq!(servers[0].literals["API_KEY"], "hunter2");
}
