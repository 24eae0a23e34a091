//! Placeholders in a Deployment YAML.

use serde_json::json;

use super::fixture::{Fixture, INSTALL, NAME, find, named, server};

fn with(container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{}}\nspec:\n  template:\n    spec:\n      containers:\n        - \
         name: mcp-server\n{}",
        container
            .lines()
            .map(|line| format!("          {line}\n"))
            .collect::<String>()
    )
}

#[test]
fn portolan_placeholders() {
    let names = [
        ("deployment_name", NAME),
        ("server_id", INSTALL),
        ("server_name", "time"),
        ("namespace", "mcp-servers"),
        ("docker_image", "ghcr.io/acme/time:1"),
        ("secret_name", "mcp-time-00000000abcd-secrets"),
        ("command", "/server"),
        ("arguments", "[]"),
        ("service_account", "default"),
    ];
    for (name, value) in names {
        let fixture = Fixture::stdio_image(Some("/server"))
            .yaml(with(&format!("env: [{{ name: X, value: '<${{portolan.{name}}}>' }}]")));
        assert_eq!(
            named(&fixture.container()["env"], "X")["value"],
            format!("<{value}>"),
            "{name}"
        );
        assert!(fixture.render().warnings.is_empty());
    }
}

#[test]
fn arguments_placeholder_is_a_list() {
    let fixture = Fixture::command().yaml(with(
        "command: ['${portolan.command}', '--fast']\nargs: '${portolan.arguments}'",
    ));
    let args = json!(["--port", "8080", "--", "uvx", "--fast", "mcp-server-time"]);
    assert_eq!(fixture.container()["args"], args);
}

#[test]
fn secret_and_env_placeholders() {
    let text =
        with("env:\n  - { name: TOKEN, value: '${secret.KEY}' }\n  - { name: WHERE, value: 'in ${env.REGION}!' }");
    let fixture = Fixture::http().plain("REGION", "eu").secret("KEY", "s3cr3t").yaml(text);
    let env = fixture.container()["env"].clone();
    let reference = json!({ "name": format!("{NAME}-secrets"), "key": "KEY" });
    assert_eq!(
        named(&env, "TOKEN"),
        &json!({ "name": "TOKEN", "valueFrom": { "secretKeyRef": reference } })
    );
    assert_eq!(named(&env, "WHERE")["value"], "in eu!");
}

#[test]
fn values_are_not_parsed_or_expanded() {
    let nasty = "x' }]\nhostNetwork: true #\n$(API_KEY)";
    let text = with("command: [/server]\nargs: ['--at=${env.REGION}']\nenv: [{ name: A, value: '${env.REGION}' }]");
    let fixture = Fixture::http().plain("REGION", nasty).yaml(text);
    let pod = fixture.pod();
    assert!(pod["hostNetwork"].is_null());
    let kept = nasty.replace('$', "$$");
    assert_eq!(server(&pod)["args"], json!([format!("--at={kept}")]));
    assert_eq!(named(&server(&pod)["env"], "A")["value"], kept);
}

#[test]
fn unresolved_placeholders_warn() {
    let text = with(
        "env:\n  - { name: GONE, value: '${env.NOWHERE}' }\n  - { name: LOST, value: '${secret.NOWHERE}' }\n  \
         - { name: ODD, value: '${portolan.nothing} ${HOME} ${open' }",
    );
    let fixture = Fixture::http().yaml(text);
    let rendered = fixture.render();
    let env = fixture.container()["env"].clone();
    assert!(find(&env, "GONE").is_none() && find(&env, "LOST").is_none());
    assert_eq!(named(&env, "ODD")["value"], "${portolan.nothing} ${HOME} ${open");
    assert_eq!(rendered.warnings.len(), 5, "{:?}", rendered.warnings);
}

#[test]
fn misplaced_secret_is_refused() {
    for container in [
        "args: ['--key=${secret.KEY}']",
        "env: [{ name: A, value: 'Bearer ${secret.KEY}' }]",
        "image: '${secret.KEY}'",
        "args: ['${env.KEY}']",
    ] {
        let refusal = Fixture::http().secret("KEY", "s3cr3t").yaml(with(container)).refusal();
        assert!(refusal.contains("${secret.KEY}"), "{refusal}");
    }
}
