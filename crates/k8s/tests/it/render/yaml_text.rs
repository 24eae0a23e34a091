//! Deployment YAML as text: bounds, the template, and the shown Deployment.

use portolan_core::{Delivery, Field, FieldKey, ServerSpec, Source, Transport};
use portolan_k8s::{KubeConfig, render, yaml};
use serde_json::Value as Json;

use super::fixture::Fixture;

fn server() -> ServerSpec {
    let region = FieldKey::parse("region").expect("a key");
    let mut plain = Field::new(region, Delivery::Env { name: "REGION".into() });
    plain.default = Some("eu".into());
    ServerSpec::command("time", "uvx", ["mcp-server-time", "--tz=${user_config.region}"])
        .expect("a server")
        .field(Field::secret_env("api_key", "API_KEY").expect("a field"))
        .field(plain)
}

fn config() -> KubeConfig {
    KubeConfig::in_namespace("mcp-servers")
}

#[test]
fn template_equals_generated() {
    for (server, mut fixture) in [
        (
            server(),
            Fixture::command().plain("REGION", "eu").secret("API_KEY", "s3cr3t"),
        ),
        (
            ServerSpec::image("time", "ghcr.io/acme/time:1").expect("a server"),
            Fixture::stdio_image(None),
        ),
    ] {
        let text = yaml::template(&server, &config()).expect("a template");
        assert_eq!(
            yaml::check(&text, &server, &config()).expect("accepted"),
            warnings(&text)
        );
        let generated = fixture.pod();
        fixture = fixture.yaml(text);
        assert_eq!(sorted(fixture.pod()), sorted(generated));
    }
}

/// The template names the service account for its reader, so it has a warning about it.
fn warnings(text: &str) -> Vec<String> {
    let says = text.contains("serviceAccountName");
    says.then(|| "serviceAccountName is replaced by the server's option service_account".to_owned())
        .into_iter()
        .collect()
}

#[test]
fn shown_yaml_round_trips() {
    for fixture in Fixture::all() {
        let fixture = fixture
            .plain("ODD", "yes: $(NO) \"'# \n  true")
            .plain("N", "1")
            .secret("KEY", "s")
            .file("f", "x");
        let generated = fixture.render();
        let shown = fixture.show();
        let again = fixture.yaml(shown).render();
        assert_eq!(again.deployment, generated.deployment, "to the order of its lists");
        assert_eq!(again.digest, generated.digest);
    }
}

/// Sorts named items of all lists.
fn sorted(mut value: Json) -> Json {
    match &mut value {
        Json::Array(items) => {
            let mut kept: Vec<_> = std::mem::take(items).into_iter().map(sorted).collect();
            if kept.iter().all(|item| item["name"].is_string()) {
                kept.sort_by_key(|item| item["name"].to_string() + &item["mountPath"].to_string());
            }
            *items = kept;
        }
        Json::Object(fields) => fields.values_mut().for_each(|field| *field = sorted(field.take())),
        _ => {}
    }
    value
}

#[test]
fn size_depth_and_aliases_are_bounded() {
    let long = format!("# {}", "x".repeat(yaml::MAX_LEN));
    let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let last = format!("*a{}", n - 1);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![last; 9].join(", ")));
    }
    for (text, what) in [(long, "bytes"), (deep, ""), (bomb, "")] {
        let started = std::time::Instant::now();
        let refusal = Fixture::http().yaml(text).refusal();
        assert!(refusal.contains(what) && refusal.len() < 400, "{refusal}");
        assert!(!refusal.contains('\n'), "one line: {refusal}");
        assert!(started.elapsed().as_secs() < 2);
    }
}

#[test]
fn malformed_yaml_is_refused() {
    for text in [
        "a: 1\n---\nb: 2\n",
        "a: 1\na: 2\n",
        "a: [1\n",
        "\t- x",
        "!!python/object:os.system x",
    ] {
        let _ = Fixture::http().yaml(text).refusal();
    }
}

#[test]
fn check_before_storing() {
    let mut server = server();
    assert_eq!(
        render::check(&server, &config()).expect("accepted"),
        Vec::<String>::new()
    );
    server.kubernetes.environment = Some("prod".into());
    assert!(refusal(&server).contains("\"prod\""));
    server.kubernetes.environment = None;
    server.kubernetes.service_account = Some("admin".into());
    assert!(refusal(&server).contains("\"admin\""));
    server.kubernetes.service_account = None;
    server.kubernetes.deployment_yaml = Some("kind: Pod".into());
    assert!(refusal(&server).contains("deployment yaml"));
    let remote = ServerSpec::remote("far", "https://mcp.example.com/mcp").expect("a server");
    assert!(render::check(&remote, &config()).expect("accepted").is_empty());
}

#[test]
fn answers_choose_no_secret_or_image() {
    let mut config = config();
    config.default_environment.allowed_images = vec!["ghcr.io/acme".into()];
    let mut server = server();
    server.source = Source::Image {
        image: "ghcr.io/acme/time:1".into(),
        program: None,
        args: Vec::new(),
        transport: Transport::Http {
            port: 3000,
            path: "/mcp".into(),
        },
    };
    let deployment = |container: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{}}\nspec: {{ template: {{ spec: {{ containers: [{{ name: a, \
             {container} }}] }} }} }}"
        )
    };
    for container in [
        "image: '${env.REGION}'",
        "envFrom: [{ secretRef: { name: '${env.REGION}' } }]",
    ] {
        assert!(
            yaml::check(&deployment(container), &server, &config).is_err(),
            "{container}"
        );
    }
    yaml::check(&deployment("image: '${portolan.docker_image}'"), &server, &config).expect("accepted");
}

fn refusal(server: &ServerSpec) -> String {
    render::check(server, &config()).expect_err("refused").to_string()
}
