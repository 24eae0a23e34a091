//! How a server is reached in its pod.

use portolan_core::{ProtocolEra, Source, StdioCarrier, Transport};
use portolan_k8s::{
    BridgeSource,
    render::{Carrier, ServerPort},
};
use serde_json::json;

use super::fixture::{NAME, World, find, named, server};

#[test]
fn a_command_runs_under_the_bridge_of_the_base_image() {
    let mut world = World::command();
    world.config.base_image = "ghcr.io/acme/base:1".into();
    let rendered = world.render();
    assert_eq!(rendered.carrier, Carrier::Bridge);
    assert_eq!(
        rendered.port,
        Some(ServerPort {
            port: 8080,
            path: "/mcp".into()
        })
    );
    let pod = world.pod();
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
fn an_image_of_its_own_gets_the_bridge_from_an_init_container() {
    let mut world = World::stdio_image(Some("/server"));
    world.config.bridge = BridgeSource::Image("ghcr.io/acme/bridge:1".into());
    let pod = world.pod();
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
fn the_base_image_is_where_the_bridge_comes_from_unless_another_is_named() {
    let world = World::stdio_image(Some("/server"));
    let pod = world.pod();
    assert_eq!(
        named(&pod["initContainers"], "portolan-bridge")["image"],
        world.config.base_image
    );
}

#[test]
fn an_image_whose_program_nobody_knows_is_attached_to() {
    let world = World::stdio_image(None);
    let rendered = world.render();
    assert_eq!(
        (rendered.carrier, rendered.port, rendered.service),
        (Carrier::Attach, None, None)
    );
    let container = world.container();
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
fn the_bridge_is_not_asked_to_start_what_nobody_knows() {
    let mut world = World::stdio_image(None);
    world.spec.kubernetes.stdio = Some(StdioCarrier::Bridge);
    assert!(world.refusal().contains("name the program"), "{}", world.refusal());
}

#[test]
fn a_server_may_choose_and_the_config_chooses_for_the_rest() {
    let mut world = World::command();
    world.config.stdio = StdioCarrier::Attach;
    assert_eq!(world.render().carrier, Carrier::Attach);
    assert_eq!(world.container()["command"], json!(["uvx"]));
    assert_eq!(world.container()["args"], json!(["mcp-server-time"]));
    world.spec.kubernetes.stdio = Some(StdioCarrier::Bridge);
    assert_eq!(world.render().carrier, Carrier::Bridge);
}

#[test]
fn an_http_server_is_probed_at_its_port() {
    let world = World::http();
    let rendered = world.render();
    assert_eq!(rendered.carrier, Carrier::Http);
    let container = world.container();
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
fn the_bridge_is_asked_about_its_server_and_restarted_for_itself_alone() {
    let container = World::command().container();
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
fn the_bridge_is_told_what_the_server_speaks_and_may_ask() {
    let mut world = World::command();
    world.spec.era = ProtocolEra::Legacy;
    world.spec.server_requests.sampling = true;
    world.spec.kubernetes.grace_seconds = Some(60);
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
    let args = world.container()["args"].clone();
    assert_eq!(
        args.as_array().expect("args")[..flags.len()],
        flags.map(|flag| json!(flag))
    );
    world.spec.server_requests.elicitation = false;
    world.spec.server_requests.sampling = false;
    assert_eq!(world.container()["args"][5], "none");
}

#[test]
fn a_port_or_path_that_cannot_be_is_refused() {
    for (port, path, named) in [(0, "/mcp", "port"), (3000, "mcp", "path")] {
        let mut world = World::http();
        if let Source::Image { transport, .. } = &mut world.spec.source {
            *transport = Transport::Http {
                port,
                path: path.into(),
            };
        }
        assert!(world.refusal().starts_with(named), "{}", world.refusal());
    }
}

#[test]
fn a_slow_starter_may_be_given_time() {
    let mut world = World::http();
    world.spec.kubernetes.start_seconds = Some(600);
    assert_eq!(world.container()["startupProbe"]["failureThreshold"], 600);
}

#[test]
fn no_answer_is_taken_for_a_variable() {
    let mut world = World::http().plain("A", "$(HOME) $$ ${x} $y");
    if let Source::Image { args, .. } = &mut world.spec.source {
        *args = vec!["--key=$(API_KEY)".into(), "50$".into()];
    }
    let container = world.container();
    assert_eq!(named(&container["env"], "A")["value"], "$$(HOME) $$$$ $${x} $$y");
    assert_eq!(container["args"], json!(["--key=$$(API_KEY)", "50$"]));
}

#[test]
fn legacy_sessions_keep_to_one_of_several_copies() {
    let affinity = |world: &World| {
        let service = world.render().service.expect("a service");
        service.spec.expect("a spec").session_affinity
    };
    let mut world = World::http();
    assert_eq!(affinity(&world), None);
    world.spec.kubernetes.replicas = Some(1);
    assert_eq!(affinity(&world), None);
    world.spec.kubernetes.replicas = Some(2);
    assert_eq!(affinity(&world).as_deref(), Some("ClientIP"));
    world.spec.era = ProtocolEra::Modern;
    assert_eq!(affinity(&world), None, "each call may go to any copy");
}
