//! Facts about single clients that no sample covers.

use portolan_import::{Format, import, report};
use serde_json::{Value, json};

/// Checks members of the result form, by JSON pointer.
#[track_caller]
fn check(format: Format, text: &str, expected: &[(&str, Value)]) {
    let report = report(format, &import(format, text));
    for (pointer, value) in expected {
        let found = report.pointer(pointer).cloned().unwrap_or(Value::Null);
        assert_eq!(found, *value, "{pointer} of {report:#}");
    }
}

/// One server of a map, by format.
fn server(format: Format, entry: &Value) -> String {
    let key = match format {
        Format::Vscode => "servers",
        Format::Zed => "context_servers",
        Format::Opencode => "mcp",
        _ => "mcpServers",
    };
    json!({key: {"s": entry}}).to_string()
}

#[track_caller]
fn launch(format: Format, entry: &Value, expected: &[(&str, Value)]) {
    check(format, &server(format, entry), expected);
}

const LAUNCH: &str = "/servers/0/launch";
const WARNINGS: &str = "/servers/0/warnings";
const REASON: &str = "/rejected/0/reason";
const INPUTS: &str = "/servers/0/inputs";

#[test]
fn untyped_urls_by_client() {
    let entry = json!({"url": "https://s.example.com/mcp"});
    for (format, transport) in [
        (Format::Vscode, "either"),
        (Format::Cursor, "either"),
        (Format::Windsurf, "either"),
        (Format::Gemini, "either"),
        (Format::Copilot, "streamable-http"),
        (Format::Zed, "streamable-http"),
        (Format::Cline, "sse"),
        (Format::Librechat, "sse"),
    ] {
        launch(format, &entry, &[("/servers/0/launch/transport", json!(transport))]);
    }
    for format in [Format::Claude, Format::Roo, Format::Opencode] {
        launch(format, &entry, &[(REASON, json!("type-missing"))]);
    }
}

#[test]
fn type_names_by_client() {
    for (format, kind, accepted) in [
        (Format::Claude, "streamableHttp", false),
        (Format::Vscode, "streamable-http", false),
        (Format::Gemini, "streamable-http", false),
        (Format::Cline, "http", false),
        (Format::Cline, "streamable-http", false),
        (Format::Cline, "streamableHttp", true),
        (Format::Roo, "http", false),
        (Format::Copilot, "streamable-http", true),
        (Format::Librechat, "http", true),
        (Format::Librechat, "streamableHttp", false),
        (Format::Librechat, "websocket", false),
    ] {
        let reason = if accepted {
            Value::Null
        } else {
            json!("unsupported-transport")
        };
        launch(
            format,
            &json!({"type": kind, "url": "https://s.example.com/mcp"}),
            &[(REASON, reason)],
        );
    }
    launch(
        Format::Librechat,
        &json!({"url": "wss://s.example.com/ws"}),
        &[(REASON, json!("unsupported-transport"))],
    );
    launch(
        Format::Gemini,
        &json!({"tcp": "s.example.com:1"}),
        &[(REASON, json!("unsupported-transport"))],
    );
}

#[test]
fn one_bad_entry_refuses_file_by_client() {
    let file = r#"{"mcpServers": {"bad": {"command": 1}, "good": {"command": "x", "args": []}}}"#;
    for (format, refused) in [
        (Format::Claude, false),
        (Format::Cline, true),
        (Format::Roo, false),
        (Format::Copilot, false),
    ] {
        let warnings = if refused {
            json!(["client-refuses-file"])
        } else {
            Value::Null
        };
        check(
            format,
            file,
            &[
                ("/servers/0/name", json!("good")),
                (REASON, json!("wrong-type:command")),
                ("/warnings", warnings),
            ],
        );
    }
    let codex = "[mcp_servers.bad]\nurl = 'https://s.example.com'\nargs = []\n[mcp_servers.good]\ncommand = 'x'\n";
    check(
        Format::Codex,
        codex,
        &[
            (REASON, json!("both-launches")),
            ("/warnings", json!(["client-refuses-file"])),
            ("/servers/0/name", json!("good")),
        ],
    );
    let opencode = r#"{"mcp": {"bad": {"type": "http", "url": "https://s.example.com"}}}"#;
    check(
        Format::Opencode,
        opencode,
        &[
            (REASON, json!("unsupported-transport")),
            ("/warnings", json!(["client-refuses-file"])),
        ],
    );
    let r#continue = "mcpServers:\n  - name: bad\n    type: http\n    url: https://s.example.com\n";
    check(
        Format::Continue,
        r#continue,
        &[
            (REASON, json!("unsupported-transport")),
            ("/warnings", json!(["client-refuses-file"])),
        ],
    );
}

#[test]
fn off_switches_by_client() {
    for (format, key, value, enabled) in [
        (Format::Claude, "disabled", true, Value::Null),
        (Format::Cline, "disabled", true, json!(false)),
        (Format::Roo, "disabled", true, json!(false)),
        (Format::Windsurf, "disabled", true, json!(false)),
        (Format::Copilot, "disabled", true, Value::Null),
        (Format::Librechat, "disabled", true, Value::Null),
        (Format::Zed, "enabled", false, json!(false)),
    ] {
        launch(
            format,
            &json!({"command": "x", "args": [], key: value}),
            &[("/servers/0/enabled", enabled)],
        );
    }
    let entry = json!({"type": "local", "command": ["x"], "disabled": true});
    launch(Format::Opencode, &entry, &[("/servers/0/enabled", json!(false))]);
    let gemini = r#"{"mcp": {"allowed": ["b"], "excluded": ["c"]}, "mcpServers": {"a": {"command": "x"}, "b": {"command": "x"}, "c": {"command": "x"}}}"#;
    check(
        Format::Gemini,
        gemini,
        &[
            ("/servers/0/enabled", json!(false)),
            ("/servers/1/enabled", Value::Null),
            ("/servers/2/enabled", json!(false)),
        ],
    );
}

#[test]
fn timeouts_by_client() {
    for (format, key, value, path, millis) in [
        (Format::Claude, "timeout", 20, "call", 20),
        (Format::Roo, "timeout", 20, "call", 20_000),
        (Format::Zed, "timeout", 20, "call", 20_000),
        (Format::Cline, "timeout", 20, "call", 20_000),
        (Format::Gemini, "timeout", 20, "call", 20),
        (Format::Librechat, "initTimeout", 20, "start", 20),
    ] {
        let path = format!("/servers/0/timeoutsMs/{path}");
        launch(
            format,
            &json!({"command": "x", "args": [], key: value}),
            &[(&path, json!(millis))],
        );
    }
    launch(
        Format::Roo,
        &json!({"command": "x", "timeout": 60_000}),
        &[(REASON, json!("wrong-type:timeout"))],
    );
    launch(
        Format::Cline,
        &json!({"command": "x", "timeout": "60"}),
        &[(WARNINGS, json!(["ignored-key:timeout"]))],
    );
}

#[test]
fn placeholders_by_client() {
    let input = |name: &str| json!([{"name": name, "secret": false, "required": true, "source": "environment"}]);
    for (format, text, inputs) in [
        (Format::Claude, "$VAR_A", Value::Null),
        (Format::Claude, "${VAR_A-d}", Value::Null),
        (Format::Claude, "${env:VAR_A}", Value::Null),
        (Format::Gemini, "$VAR_A", input("VAR_A")),
        (Format::Copilot, "${VAR_A}", input("VAR_A")),
        (Format::Cursor, "${VAR_A}", Value::Null),
        (Format::Cursor, "${env:VAR_A}", input("VAR_A")),
        (Format::Roo, "${env:VAR_A}", input("VAR_A")),
        (Format::Windsurf, "${env:VAR_A}", input("VAR_A")),
        (Format::Zed, "${VAR_A}", Value::Null),
        (Format::Librechat, "${VAR_A}", input("VAR_A")),
        (Format::Librechat, "${VAR_A:-d}", Value::Null),
    ] {
        let warnings = if inputs.is_null() {
            json!(["not-expanded"])
        } else {
            Value::Null
        };
        launch(
            format,
            &json!({"command": "x", "args": [text]}),
            &[(INPUTS, inputs), (WARNINGS, warnings)],
        );
    }
}

#[test]
fn defaults_are_not_expanded() {
    let entry = json!({"command": "x", "args": ["${A:-${B}}", "${C:-1}", "${C:-2}"]});
    launch(
        Format::Claude,
        &entry,
        &[
            ("/servers/0/launch/args", json!(["<<A>>}", "<<C>>", "<<C>>"])),
            ("/servers/0/inputs/0/default", json!("${B")),
            (WARNINGS, json!(["nested-default", "several-defaults:C"])),
        ],
    );
}

#[test]
fn environment_values_by_client() {
    let entry = json!({"command": "x", "args": [], "env": {"PORT": 80}});
    for format in [
        Format::Claude,
        Format::Cline,
        Format::Roo,
        Format::Copilot,
        Format::Librechat,
        Format::Zed,
    ] {
        launch(format, &entry, &[(REASON, json!("wrong-type:env.PORT"))]);
    }
    launch(Format::Vscode, &entry, &[("/servers/0/env/PORT", json!("80"))]);
    let empty = json!({"command": "x", "env": {"API_KEY": ""}});
    launch(
        Format::Claude,
        &empty,
        &[
            ("/servers/0/inputs/0/source", json!("environment")),
            (WARNINGS, Value::Null),
        ],
    );
}

#[test]
fn commands_and_their_packages() {
    for (command, registry, name, version, program) in [
        (
            "npx -q @a/b@1.2.3-rc.1 x",
            "npm",
            "@a/b",
            json!("1.2.3-rc.1"),
            Value::Null,
        ),
        ("npx a@1", "npm", "a", Value::Null, Value::Null),
        ("yarn dlx a@1.0.0", "npm", "a", json!("1.0.0"), Value::Null),
        (
            "npx github:o/r#v1.0.0",
            "git",
            "github:o/r",
            json!("v1.0.0"),
            Value::Null,
        ),
        ("uv tool run a==1.0", "pypi", "a", json!("1.0"), Value::Null),
        ("uvx --with b a[cli]==1.0", "pypi", "a", json!("1.0"), Value::Null),
        ("uvx a>=1.0", "pypi", "a", Value::Null, Value::Null),
        ("uvx a==1.*", "pypi", "a", Value::Null, Value::Null),
        (
            "uvx --from git+https://g.example.com/a/b p",
            "git",
            "https://g.example.com/a/b",
            Value::Null,
            json!("p"),
        ),
        ("uvx --from=a==2.0 a", "pypi", "a", json!("2.0"), Value::Null),
        (
            "dnx Ex.A@1.0.0 --yes -- --port",
            "nuget",
            "Ex.A",
            json!("1.0.0"),
            Value::Null,
        ),
        (
            "dotnet tool exec Ex.A@1.0.0 --yes",
            "nuget",
            "Ex.A",
            json!("1.0.0"),
            Value::Null,
        ),
        (
            "podman run --rm r.example.com:5000/a/b",
            "oci",
            "r.example.com:5000/a/b",
            Value::Null,
            Value::Null,
        ),
        (
            "docker run -it a:1@sha256:00",
            "oci",
            "a",
            json!("sha256:00"),
            Value::Null,
        ),
        ("wsl -d Ubuntu npx a@1.0.0", "npm", "a", json!("1.0.0"), Value::Null),
        (
            "CMD.EXE /d /s /c npx.cmd -y a@1.0.0",
            "npm",
            "a",
            json!("1.0.0"),
            Value::Null,
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let package = |member: &str| format!("/servers/0/package/{member}");
        launch(
            Format::Claude,
            &json!({"command": words[0], "args": words[1..]}),
            &[
                (&package("registry"), json!(registry)),
                (&package("name"), json!(name)),
                (&package("version"), version),
                (&package("program"), program),
            ],
        );
    }
    for script in [json!(["-lc", "npx a"]), json!(["-c", "docker run a"])] {
        let kept = json!({"kind": "stdio", "command": "bash", "args": script});
        launch(
            Format::Claude,
            &json!({"command": "bash", "args": script}),
            &[(LAUNCH, kept), ("/servers/0/package", Value::Null)],
        );
    }
    launch(
        Format::Claude,
        &json!({"command": "npx", "args": ["./dir"]}),
        &[("/servers/0/package", Value::Null), (WARNINGS, json!(["local-path"]))],
    );
}

#[test]
fn containers_pass_variables_on() {
    let entry = json!({"command": "docker", "args": ["run", "-eA_TOKEN", "--env", "B=1", "--env-file", ".env", "--mount",
        "type=bind,src=/d,dst=/e,readonly", "-u", "1000", "--entrypoint", "sh", "i:1"], "env": {"A_TOKEN": "a-0000-not-a-real-token", "C": "2"}});
    launch(
        Format::Claude,
        &entry,
        &[
            (
                LAUNCH,
                json!({"kind": "container", "image": "i:1", "args": [], "volumes": ["/d:/e:ro"], "user": "1000"}),
            ),
            ("/servers/0/env", json!({"A_TOKEN": "<<A_TOKEN>>", "B": "1"})),
            (
                WARNINGS,
                json!([
                    "secret-in-file",
                    "ignored-key:env.C",
                    "local-path",
                    "env-file",
                    "ignored-key:--entrypoint"
                ]),
            ),
        ],
    );
}

#[test]
fn bridges_are_taken_off() {
    let remote = |args: Value| json!({"command": "npx", "args": args, "env": {"ORG": "north", "TOK": "Bearer x"}});
    launch(
        Format::Claude,
        &remote(json!([
            "-y",
            "mcp-remote",
            "https://s.example.com/mcp",
            "--header",
            "X-Org:${ORG}",
            "--header",
            "Authorization: ${TOK}",
            "--ignore-tool",
            "drop*"
        ])),
        &[
            (
                "/servers/0/headers",
                json!({"Authorization": "<<TOK>>", "X-Org": "north"}),
            ),
            ("/servers/0/tools/never", json!(["drop*"])),
            (WARNINGS, json!(["bridge", "secret-in-file"])),
            ("/servers/0/oauth", Value::Null),
        ],
    );
    launch(
        Format::Claude,
        &json!({"command": "cmd", "args": ["/c", "npx", "mcp-remote", "https://s.example.com/mcp", "--resource", "https://s.example.com/",
            "--static-oauth-client-info", "{\"client_id\": \"c\", \"client_secret\": \"s-0000-not-a-real-secret\"}"]}),
        &[(
            "/servers/0/oauth",
            json!({"clientId": "c", "clientSecret": "<<s-client-secret>>", "resource": "https://s.example.com/"}),
        )],
    );
    launch(
        Format::Claude,
        &json!({"command": "npx", "args": ["-y", "supergateway", "--streamableHttp", "https://s.example.com/mcp"]}),
        &[
            (
                LAUNCH,
                json!({"kind": "http", "url": "https://s.example.com/mcp", "transport": "streamable-http"}),
            ),
            ("/servers/0/oauth", Value::Null),
        ],
    );
    launch(
        Format::Claude,
        &json!({"command": "uvx", "args": ["mcp-proxy", "--transport", "streamablehttp", "https://s.example.com/mcp"]}),
        &[(
            LAUNCH,
            json!({"kind": "http", "url": "https://s.example.com/mcp", "transport": "streamable-http"}),
        )],
    );
}

#[test]
fn vscode_reads_other_files() {
    let wrapped = r#"{"mcpServers": {"a": {"command": "x", "args": ["$A_DIR", "${A_MODE:-ro}", "${input:a}"]}}}"#;
    check(
        Format::Vscode,
        wrapped,
        &[
            (
                "/servers/0/launch/args",
                json!(["<<A_DIR>>", "<<A_MODE>>", "${input:a}"]),
            ),
            ("/warnings", Value::Null),
        ],
    );
    check(
        Format::Vscode,
        r#"{"a": {"command": "x"}}"#,
        &[("/servers/0/name", json!("a")), ("/warnings", json!(["unwrapped-map"]))],
    );
    let settings = r#"{"mcp": {"servers": {"a": {"command": "x", "args": ["${input:k}"]}}, "inputs": [{"type": "promptString", "id": "k"}]}}"#;
    check(
        Format::Vscode,
        settings,
        &[
            ("/servers/0/inputs/0/source", json!("prompt")),
            ("/warnings", json!(["old-form"])),
        ],
    );
}

#[test]
fn byte_order_mark_and_windows_lines() {
    check(
        Format::Claude,
        "\u{feff}{\r\n\"mcpServers\": {\"a\": {\"command\": \"x\"}}\r\n}",
        &[("/servers/0/name", json!("a"))],
    );
    check(Format::Goose, "\u{feff}extensions: {}\r\n", &[("/servers", json!([]))]);
}

#[test]
fn goose_fills_headers_from_its_environment() {
    let text = "extensions:\n  a:\n    enabled: true\n    type: streamable_http\n    uri: https://a.example.com/mcp\n    headers: {X-Org: $ORG, Authorization: 'Bearer ${TOK}', X-Other: $OTHER}\n    envs: {ORG: north, TOK: t-0000}\n";
    check(
        Format::Goose,
        text,
        &[
            (
                "/servers/0/headers",
                json!({"Authorization": "Bearer <<TOK>>", "X-Org": "north", "X-Other": "$OTHER"}),
            ),
            (
                "/servers/0/inputs",
                json!([{"name": "TOK", "secret": true, "required": true, "source": "literal"}]),
            ),
            (WARNINGS, json!(["secret-in-file", "not-expanded"])),
        ],
    );
}

#[test]
fn librechat_keys_of_administrators() {
    let text = "mcpServers:\n  a:\n    type: streamable-http\n    url: https://a.example.com/mcp\n    apiKey: {source: admin, authorization_type: bearer, key: '${A_KEY}'}\n    oauth: {client_id: c, client_secret: '${A_SECRET}', scope: a b, authorization_url: 'https://a.example.com/a', token_url: 'https://a.example.com/t'}\n";
    let oauth = json!({"clientId": "c", "clientSecret": "<<A_SECRET>>", "scopes": ["a", "b"],
        "authorizationUrl": "https://a.example.com/a", "tokenUrl": "https://a.example.com/t"});
    check(
        Format::Librechat,
        text,
        &[
            ("/servers/0/headers/Authorization", json!("Bearer <<A_KEY>>")),
            ("/servers/0/oauth", oauth),
        ],
    );
}

#[test]
fn continue_takes_files_of_others() {
    let json = r#"{"mcpServers": {"a": {"type": "http", "url": "https://a.example.com/mcp"}, "b": {"type": "streamable-http", "url": "https://b.example.com"}}}"#;
    check(
        Format::Continue,
        json,
        &[
            ("/servers/0/launch/transport", json!("streamable-http")),
            (REASON, json!("unsupported-transport")),
        ],
    );
    check(
        Format::Continue,
        r#"{"command": "x", "args": []}"#,
        &[("/servers/0/launch/command", json!("x"))],
    );
}

#[test]
fn server_json_with_many_ways() {
    let text = json!({"name": "com.example/a", "description": "A", "version": "1.0.0",
        "packages": [
            {"registryType": "mcpb", "identifier": "https://a.example.com/a.mcpb", "fileSha256": "00", "transport": {"type": "stdio"}},
            {"registryType": "npm", "identifier": "a", "version": "1.0.0", "transport": {"type": "stdio"},
             "packageArguments": [{"type": "named", "name": "--region", "description": "Region"}]},
        ],
        "remotes": [{"type": "sse", "url": "https://a.example.com/sse"}, {"type": "websocket", "url": "wss://a.example.com"}]});
    check(
        Format::ServerJson,
        &text.to_string(),
        &[
            (
                LAUNCH,
                json!({"kind": "bundle", "url": "https://a.example.com/a.mcpb", "sha256": "00"}),
            ),
            (
                "/servers/0/alternatives/0/args",
                json!(["a@1.0.0", "--region", "<<--region>>"]),
            ),
            ("/servers/0/alternatives/1/transport", json!("sse")),
            ("/servers/0/inputs/0/name", json!("--region")),
        ],
    );
    let nothing = json!({"name": "com.example/a", "description": "A", "version": "1.0.0"});
    check(
        Format::ServerJson,
        &nothing.to_string(),
        &[(REASON, json!("no-launch"))],
    );
}

#[test]
fn registry_record_alone() {
    let record = json!({"server": {"name": "com.example/a", "version": "1.0.0", "remotes": [{"type": "streamable-http", "url": "https://a.example.com"}]},
        "_meta": {"io.modelcontextprotocol.registry/official": {"status": "active", "isLatest": true}}});
    let status = json!({"status": "active", "latest": true});
    check(
        Format::RegistryList,
        &record.to_string(),
        &[("/servers/0/registry", status)],
    );
}

#[test]
fn manifests_are_strict() {
    let manifest = |member: &str, value: Value| {
        let mut manifest = json!({"manifest_version": "0.4", "name": "a", "version": "1", "description": "A", "author": {"name": "E"},
            "server": {"type": "uv", "entry_point": "a.py", "mcp_config": {"command": "uv", "args": ["run", "${user_config.dirs}/x"]}},
            "user_config": {"dirs": {"type": "directory", "title": "D", "description": "D", "multiple": true}}});
        manifest[member] = value;
        manifest.to_string()
    };
    check(
        Format::Mcpb,
        &manifest("license", json!("MIT")),
        &[(WARNINGS, json!(["list-in-text:dirs"])), ("/warnings", Value::Null)],
    );
    check(
        Format::Mcpb,
        &manifest("extra", json!(1)),
        &[("/warnings", json!(["client-refuses-file"]))],
    );
    check(
        Format::Mcpb,
        &manifest("manifest_version", json!("9")),
        &[(REASON, json!("wrong-type:manifest_version"))],
    );
    check(
        Format::Mcpb,
        &manifest("author", json!({})),
        &[(REASON, json!("missing:author.name"))],
    );
}

#[test]
fn docker_templates() {
    let text = "registry:\n  a:\n    image: mcp/a:1\n    secrets: [{name: a.tok, env: A_TOKEN}]\n    env:\n      - {name: ONE, value: one}\n      - {name: TWO, value: '$ONE-${A_TOKEN}-$GONE'}\n      - {name: THREE, value: '{x}{{a.p|or:q}}'}\n      - {name: EMPTY, value: '$GONE'}\n    command: ['{{a.n.m|first}}']\n    volumes: ['{{a.d|mount_as:/d:ro}}']\n    user: '{{a.uid}}'\n";
    check(
        Format::DockerCatalog,
        text,
        &[
            (
                "/servers/0/env",
                json!({"A_TOKEN": "<<A_TOKEN>>", "ONE": "one", "TWO": "one-<<A_TOKEN>>-", "THREE": "x<<p>>"}),
            ),
            ("/servers/0/launch/args", json!(["<<n.m>>"])),
            ("/servers/0/launch/volumes", json!(["<<d>>:/d:ro"])),
            ("/servers/0/launch/user", json!("<<uid>>")),
        ],
    );
}

#[test]
fn docker_rules_of_the_network_are_said() {
    let text = "name: a\nimage: mcp/a:1\nallowHosts: ['x:443']\nrun:\n  allowHosts: ['x:443']\n  disableNetwork: false\n  env: {A: b}\n";
    check(
        Format::DockerSource,
        text,
        &[
            (
                WARNINGS,
                json!(["ignored-key:run.allowHosts", "ignored-key:allowHosts"]),
            ),
            ("/servers/0/env/A", json!("b")),
        ],
    );
}

#[test]
fn codex_start_time_in_seconds_wins() {
    let text = "[mcp_servers.a]\ncommand = 'x'\nstartup_timeout_sec = 0.5\nstartup_timeout_ms = 9\n";
    check(
        Format::Codex,
        text,
        &[
            ("/servers/0/timeoutsMs/start", json!(500)),
            (WARNINGS, json!(["ignored-key:startup_timeout_ms"])),
        ],
    );
}

#[test]
fn codex_bearer_tokens_and_other_names() {
    let text = "[mcp_servers.a]\nurl = 'https://a.example.com'\nbearer_token = 'a-0000-not-a-real-token'\n[mcpServers.b]\ncommand = 'x'\n";
    check(
        Format::Codex,
        text,
        &[
            (REASON, json!("wrong-type:bearer_token")),
            ("/servers", json!([])),
            ("/warnings", json!(["client-refuses-file", "ignored-key:mcpServers"])),
        ],
    );
}

#[test]
fn unwrapped_files_may_have_a_schema() {
    let text = r#"{"$schema": "https://x.example.com", "a": {"command": "x"}}"#;
    check(
        Format::Claude,
        text,
        &[("/servers/0/name", json!("a")), ("/rejected", Value::Null)],
    );
}
