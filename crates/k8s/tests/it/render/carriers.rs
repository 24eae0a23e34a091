//! Carriers: HTTP, bridge, attach.

use portolan_core::{ProtocolEra, Source, StdioCarrier, Transport};
use portolan_k8s::{
    BridgeSource,
    render::{Carrier, ServerPort},
};
use serde_json::json;

use super::fixture::{Fixture, NAME, find, named, server};

#[test]
fn command_uses_bridge_of_base_image() {
    let mut fixture = Fixture::command();
    fixture.config.base_image = "ghcr.io/acme/base:1".into();
    let rendered = fixture.render();
    assert_eq!(rendered.carrier, Carrier::Bridge);
    assert_eq!(rendered.port, Some(ServerPort::new(8080, "/mcp")));
    let pod = fixture.pod();
    let container = server(&pod);
    assert_eq!(container["image"], "ghcr.io/acme/base:1");
    assert_eq!(container["command"], json!(["/portolan-bridge"]));
    assert_eq!(
        container["args"],
        json!(["--port", "8080", "--", "uvx", "mcp-server-time"])
    );
    assert!(pod["initContainers"].is_null(), "nothing needs to be brought");
    let token = named(&container["env"], "PORTOLAN_BRIDGE_TOKEN");
    let reference = json!({ "name": format!("{NAME}-secrets"), "key": "bridge-token" });
    assert_eq!(token["valueFrom"]["secretKeyRef"], reference);
    let data = rendered.secret.expect("a secret").data.expect("data");
    assert_eq!(data["bridge-token"].0, b"a-random-token");
}

#[test]
fn init_container_copies_bridge() {
    let mut fixture = Fixture::stdio_image(Some("/server"));
    fixture.config.bridge = BridgeSource::Image("ghcr.io/acme/bridge:1".into());
    let pod = fixture.pod();
    let init = named(&pod["initContainers"], "portolan-bridge");
    assert_eq!(init["image"], "ghcr.io/acme/bridge:1");
    assert_eq!(init["command"], json!(["/portolan-bridge"]));
    assert_eq!(init["args"], json!(["--copy-to", "/bridge/portolan-bridge"]));
    let container = server(&pod);
    assert_eq!(container["command"], json!(["/bridge/portolan-bridge"]));
    assert_eq!(container["args"], json!(["--port", "8080", "--", "/server"]));
    let mount = named(&container["volumeMounts"], "portolan-bridge");
    assert_eq!(
        (&mount["mountPath"], &mount["readOnly"]),
        (&json!("/bridge"), &json!(true))
    );
    assert!(named(&pod["volumes"], "portolan-bridge")["emptyDir"].is_object());
}

#[test]
fn bridge_defaults_to_base_image() {
    let fixture = Fixture::stdio_image(Some("/server"));
    let pod = fixture.pod();
    assert_eq!(
        named(&pod["initContainers"], "portolan-bridge")["image"],
        fixture.config.base_image
    );
}

#[test]
fn unknown_program_is_attached() {
    let fixture = Fixture::stdio_image(None);
    let rendered = fixture.render();
    assert_eq!(
        (rendered.carrier, rendered.port, rendered.service),
        (Carrier::Attach, None, None)
    );
    let container = fixture.container();
    assert_eq!(container["stdin"], true);
    assert_eq!(
        container["stdinOnce"], false,
        "or the first to go would close it for all"
    );
    assert_eq!(container["tty"], false);
    for absent in [
        "command",
        "args",
        "ports",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
    ] {
        assert!(container[absent].is_null(), "{absent}");
    }
}

#[test]
fn bridge_needs_a_program() {
    let mut fixture = Fixture::stdio_image(None);
    fixture.spec.kubernetes.stdio = Some(StdioCarrier::Bridge);
    assert!(fixture.refusal().contains("name the program"), "{}", fixture.refusal());
}

#[test]
fn server_overrides_configured_carrier() {
    let mut fixture = Fixture::command();
    fixture.config.stdio = StdioCarrier::Attach;
    assert_eq!(fixture.render().carrier, Carrier::Attach);
    assert_eq!(fixture.container()["command"], json!(["uvx"]));
    assert_eq!(fixture.container()["args"], json!(["mcp-server-time"]));
    fixture.spec.kubernetes.stdio = Some(StdioCarrier::Bridge);
    assert_eq!(fixture.render().carrier, Carrier::Bridge);
}

#[test]
fn http_probes() {
    let fixture = Fixture::http();
    let rendered = fixture.render();
    assert_eq!(rendered.carrier, Carrier::Http);
    let container = fixture.container();
    assert_eq!(
        container["ports"],
        json!([{ "name": "mcp", "containerPort": 3000, "protocol": "TCP" }])
    );
    let seconds = |probe: &str| {
        let probe = &container[probe];
        assert_eq!(probe["tcpSocket"], json!({ "port": 3000 }));
        probe["periodSeconds"].as_i64().expect("a period") * probe["failureThreshold"].as_i64().expect("a threshold")
    };
    assert_eq!(seconds("startupProbe"), 120);
    assert_eq!(seconds("readinessProbe"), 4);
    assert_eq!(seconds("livenessProbe"), 90);
    assert!(find(&container["env"], "PORTOLAN_BRIDGE_TOKEN").is_none());
    let service = rendered.service.expect("a service").spec.expect("a spec");
    assert_eq!(service.type_.as_deref(), Some("ClusterIP"));
    assert_eq!(service.ports.expect("ports")[0].port, 3000);
    assert_eq!(service.selector, rendered.key.selector("portolan").into());
}

#[test]
fn bridge_probes() {
    let container = Fixture::command().container();
    for probe in ["startupProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!(
            (&get["path"], &get["port"]),
            (&json!("/healthz"), &json!(8080)),
            "{probe}"
        );
    }
    assert_eq!(container["livenessProbe"]["tcpSocket"], json!({ "port": 8080 }));
}

#[test]
fn bridge_flags() {
    let mut fixture = Fixture::command();
    fixture.spec.era = ProtocolEra::Legacy;
    fixture.spec.server_requests.sampling = true;
    fixture.spec.kubernetes.grace_seconds = Some(60);
    let flags = [
        "--port",
        "8080",
        "--era",
        "legacy",
        "--asks",
        "elicitation,sampling",
        "--drain",
        "55",
        "--",
    ];
    let args = fixture.container()["args"].clone();
    assert_eq!(
        args.as_array().expect("args")[..flags.len()],
        flags.map(|flag| json!(flag))
    );
    fixture.spec.server_requests.elicitation = false;
    fixture.spec.server_requests.sampling = false;
    assert_eq!(fixture.container()["args"][5], "none");
}

#[test]
fn invalid_port_or_path_is_refused() {
    for (port, path, named) in [(0, "/mcp", "port"), (3000, "mcp", "path")] {
        let mut fixture = Fixture::http();
        if let Source::Image { transport, .. } = &mut fixture.spec.source {
            *transport = Transport::Http {
                port,
                path: path.into(),
            };
        }
        assert!(fixture.refusal().starts_with(named), "{}", fixture.refusal());
    }
}

#[test]
fn start_seconds_extend_startup_probe() {
    let mut fixture = Fixture::http();
    fixture.spec.kubernetes.start_seconds = Some(600);
    assert_eq!(fixture.container()["startupProbe"]["failureThreshold"], 600);
}

#[test]
fn answers_are_escaped() {
    let mut fixture = Fixture::http().plain("A", "$(HOME) $$ ${x} $y");
    if let Source::Image { args, .. } = &mut fixture.spec.source {
        *args = vec!["--key=$(API_KEY)".into(), "50$".into()];
    }
    let container = fixture.container();
    assert_eq!(named(&container["env"], "A")["value"], "$$(HOME) $$$$ $${x} $$y");
    assert_eq!(container["args"], json!(["--key=$$(API_KEY)", "50$"]));
}

#[test]
fn legacy_replicas_have_session_affinity() {
    let affinity = |fixture: &Fixture| {
        let service = fixture.render().service.expect("a service");
        service.spec.expect("a spec").session_affinity
    };
    let mut fixture = Fixture::http();
    assert_eq!(affinity(&fixture), None);
    fixture.spec.kubernetes.replicas = Some(1);
    assert_eq!(affinity(&fixture), None);
    fixture.spec.kubernetes.replicas = Some(2);
    assert_eq!(affinity(&fixture).as_deref(), Some("ClientIP"));
    fixture.spec.era = ProtocolEra::Modern;
    assert_eq!(affinity(&fixture), None, "each call may go to any copy");
}
