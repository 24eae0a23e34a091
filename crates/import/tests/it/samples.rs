//! Every sample gives exactly its expected result.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portolan_import::{Format, import, report};
use serde_json::Value;

/// The folder of the samples.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

/// All samples: name, format, text, expected result.
pub(crate) fn all() -> Vec<(String, Format, String, Value)> {
    let mut samples: Vec<_> = fs::read_dir(folder())
        .expect("the samples are there")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| !path.to_string_lossy().ends_with(".expected.json"))
        .map(|path| {
            let expected = fs::read_to_string(path.with_extension("expected.json")).expect("an expected result");
            let expected: Value = serde_json::from_str(&expected).expect("JSON");
            let format = expected["format"]
                .as_str()
                .expect("a format")
                .parse()
                .expect("a known format");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, format, fs::read_to_string(&path).expect("text"), expected)
        })
        .collect();
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    samples
}

/// Sorts what has no order: inputs and warnings.
fn normal(mut report: Value) -> Value {
    let sort = |value: &mut Value| {
        if let Some(list) = value.as_array_mut() {
            list.sort_by_key(|item| item["name"].as_str().or(item.as_str()).unwrap_or_default().to_owned());
        }
    };
    sort(&mut report["warnings"]);
    for server in report["servers"].as_array_mut().into_iter().flatten() {
        sort(&mut server["inputs"]);
        sort(&mut server["warnings"]);
    }
    report
}

#[test]
fn samples_give_expected_results() {
    let mut wrong = BTreeMap::new();
    let samples = all();
    assert!(samples.len() >= 40, "only {} samples", samples.len());
    for (name, format, text, expected) in samples {
        let found = normal(report(format, &import(format, &text)));
        let expected = normal(expected);
        if found != expected {
            wrong.insert(name, format!("expected {expected:#}\nfound {found:#}"));
        }
    }
    let names: Vec<_> = wrong.keys().collect();
    assert!(wrong.is_empty(), "{names:?}\n{}", wrong.values().next().expect("one"));
}
