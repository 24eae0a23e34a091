//! What `docs/import.md` shows is what the import gives.

use std::fs;
use std::path::Path;

use portolan_import::{Format, WarningKind, import, report};
use serde_json::Value;

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/import.md");
    fs::read_to_string(path).expect("the guide")
}

/// The text of the first block with this head.
fn block<'a>(guide: &'a str, head: &str) -> &'a str {
    let (_, rest) = guide.split_once(&format!("```{head}\n")).expect("the block");
    rest.split_once("```").expect("its end").0
}

#[test]
fn guide_shows_real_result() {
    let guide = guide();
    let expected: Value = serde_json::from_str(block(&guide, "json output")).expect("JSON");
    let found = import(Format::Vscode, block(&guide, "json input=vscode"));
    assert_eq!(report(Format::Vscode, &found), expected);
}

#[test]
fn guide_names_all_formats_and_warnings() {
    let guide = guide();
    for format in Format::ALL {
        assert!(guide.contains(&format!("`{format}`")), "{format}");
    }
    for kind in [
        WarningKind::Bridge,
        WarningKind::UnwrappedShell,
        WarningKind::Unpinned,
        WarningKind::LocalPath,
        WarningKind::SecretInFile,
        WarningKind::SecretInArgument,
        WarningKind::TransportGuessed,
        WarningKind::OldTransport,
        WarningKind::OldForm,
        WarningKind::UnwrappedMap,
        WarningKind::EnvFile,
        WarningKind::ClientVariable,
        WarningKind::NotExpanded,
        WarningKind::NestedDefault,
        WarningKind::SeveralPackages,
        WarningKind::TimeoutClamped,
        WarningKind::RunInRuntimeArguments,
        WarningKind::ClientRefusesFile,
    ] {
        assert!(guide.contains(&format!("`{kind}`")), "{kind}");
    }
    for code in [
        "several-defaults",
        "ignored-key",
        "deprecated-key",
        "forbidden-env",
        "list-in-text",
        "unsupported-auth",
    ] {
        assert!(guide.contains(&format!("`{code}:")), "{code}");
    }
}
