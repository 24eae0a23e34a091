//! Bounds of files, and places of errors.

use portolan_import::{Error, Format, MAX_BYTES, MAX_ENTRIES, import};

#[test]
fn files_over_a_mebibyte_fail() {
    let text = format!("{{\"mcpServers\": {{}}}}{}", " ".repeat(MAX_BYTES));
    assert!(matches!(import(Format::Claude, &text), Err(Error::TooLarge { .. })));
}

#[test]
fn entries_over_the_bound_fail() {
    let file = |count: usize| {
        let entries: Vec<String> = (0..count)
            .map(|n| format!("\"s{n}\": {{\"command\": \"x\"}}"))
            .collect();
        format!("{{\"mcpServers\": {{{}}}}}", entries.join(","))
    };
    assert_eq!(
        import(Format::Claude, &file(MAX_ENTRIES)).expect("fits").servers.len(),
        MAX_ENTRIES
    );
    assert!(matches!(
        import(Format::Claude, &file(MAX_ENTRIES + 1)),
        Err(Error::TooManyEntries { .. })
    ));
}

#[test]
fn deep_nesting_fails() {
    let deep = |open: &str| format!("{{\"mcpServers\": {}", open.repeat(100_000));
    for format in Format::ALL.iter().copied().filter(|format| *format != Format::Codex) {
        assert!(
            matches!(import(format, &deep("[")), Err(Error::Syntax { .. })),
            "{format}"
        );
        assert!(
            matches!(import(format, &deep("{\"a\":")), Err(Error::Syntax { .. })),
            "{format}"
        );
    }
    let toml = format!("a = {}", "[".repeat(100_000));
    assert!(matches!(import(Format::Codex, &toml), Err(Error::Syntax { .. })));
    let dotted = format!("{}a = 1", "a.".repeat(20_000));
    assert!(import(Format::Codex, &dotted).is_err());
}

#[test]
fn alias_bombs_fail() {
    let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        yaml.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(import(Format::Goose, &yaml).is_err());
}

#[test]
fn errors_have_lines() {
    for (format, text, line) in [
        (Format::Claude, "{\n\"mcpServers\": {\n}, // no comments here\n}", 3),
        (Format::Claude, "{\n\"mcpServers\": {\n},\n}", 4),
        (Format::Claude, "", 1),
        (Format::Vscode, "{\n// fine\n\"servers\": [,]}", 3),
        (Format::Gemini, "{\n// fine\n\"mcpServers\": {\n},\n}", 4),
        (Format::Codex, "a = 1\n\nb = [\n", 3),
        (Format::Codex, "[mcp_servers.a]\ncommand = 'a'\n[mcp_servers.a]\n", 3),
        (Format::Goose, "extensions:\n  a: @x\n", 2),
        (Format::Claude, "[]", 1),
    ] {
        match import(format, text) {
            Err(Error::Syntax { line: found, .. }) => assert_eq!(found, line, "{format}: {text:?}"),
            other => panic!("{format}: {text:?} gave {other:?}"),
        }
    }
}

#[test]
fn errors_quote_no_values() {
    for (format, text) in [
        (
            Format::Claude,
            "{\"mcpServers\": {\"a\": {\"env\": {\"K\": \"hunter2\" \"hunter2\"}}}}",
        ),
        (Format::Codex, "[mcp_servers.a]\nenv = { K = \"hunter2\" hunter2 }\n"),
        (Format::Goose, "extensions:\n  K: \"hunter2\" hunter2\n"),
        (Format::Vscode, "{\"servers\": {\"a\": hunter2}}"),
    ] {
        let error = import(format, text).expect_err("no valid file").to_string();
        assert!(!error.contains("hunter2"), "{format}: {error}");
    }
}

#[test]
fn warnings_and_rejections_have_lines() {
    let text = "{\"mcpServers\": {\n\"a\": {\n\"command\": \"a\",\n\"cwd\": \"/x\"},\n\"b\": {}\n}}";
    let found = import(Format::Claude, text).expect("a valid file");
    assert_eq!((found.servers[0].line, found.servers[0].warnings[0].line), (2, 4));
    assert_eq!(found.rejected[0].line, 5);
}

#[test]
fn growing_texts_fail() {
    let mut doubling = String::from("registry:\n  a:\n    image: a:1\n    env:\n      - {name: V0, value: xxxxxxxx}\n");
    for step in 1..60 {
        let before = step - 1;
        doubling.push_str(&format!("      - {{name: V{step}, value: $V{before}$V{before}}}\n"));
    }
    let found = import(Format::DockerCatalog, &doubling).expect("valid YAML");
    assert_eq!(found.rejected[0].reason.to_string(), "too-large");

    let (org, header) = ("x".repeat(100_000), "${ORG}".repeat(100_000));
    let goose = format!(
        "extensions:\n  a:\n    enabled: true\n    type: streamable_http\n    uri: https://a.example.com\n    envs: {{ORG: {org}}}\n    headers: {{X-Org: '{header}'}}\n"
    );
    assert_eq!(
        import(Format::Goose, &goose).expect("valid YAML").rejected[0]
            .reason
            .to_string(),
        "too-large"
    );
    let bridge = serde_json::json!({"mcpServers": {"a": {"command": "npx", "env": {"ORG": org},
        "args": ["mcp-remote", "https://a.example.com", "--header", format!("X-Org:{header}")]}}});
    let found = import(Format::Claude, &bridge.to_string()).expect("valid JSON");
    assert_eq!(found.rejected[0].reason.to_string(), "too-large");
}

#[test]
fn many_marks_and_inputs_end() {
    for mark in ["${", "{{", "$A", "{env:", "${A:-", "<<", "${{ "] {
        let text = mark.repeat(100_000 / mark.len());
        let file = serde_json::json!({"mcpServers": {"a": {"command": "x", "args": [text]}}}).to_string();
        for format in [
            Format::Claude,
            Format::Gemini,
            Format::Librechat,
            Format::Continue,
            Format::Cursor,
        ] {
            let _ = import(format, &file);
        }
    }
    let inputs: String = (0..100_000).map(|n| format!("${{A{n}}}")).collect();
    let file = serde_json::json!({"mcpServers": {"a": {"command": "x", "args": [inputs]}}}).to_string();
    let found = import(Format::Claude, &file).expect("valid JSON");
    assert_eq!(found.rejected[0].reason.to_string(), "too-large");
}

#[test]
fn yaml_errors_quote_no_values() {
    for value in [
        "!!int hunter2",
        "!!bool hunter2",
        "!!float hunter2",
        "!!binary hunter2",
        "!!null hunter2",
        "\"\\q hunter2\"",
        "hunter2: hunter2",
    ] {
        if let Err(error) = import(Format::Goose, &format!("extensions:\n  a: {value}\n")) {
            assert!(!error.to_string().contains("hunter2"), "{value}: {error}");
        }
    }
}

#[test]
fn wide_maps_fail() {
    let env: Vec<String> = (0..6_000).map(|n| format!("\"A{n}\": \"\"")).collect();
    let text = format!(
        "{{\"mcpServers\": {{\"a\": {{\"command\": \"x\", \"env\": {{{}}}}}}}}}",
        env.join(",")
    );
    assert!(matches!(import(Format::Claude, &text), Err(Error::Syntax { .. })));
}
