//! Denied calls: one record with the reason, and the answer for something unknown.

use std::sync::Arc;

use portolan_core::{
    Action, AuditAction, AuditOutcome, Caller, Decision, GatewaySpec, Naming, PolicyFn, Publication, Scope,
    ServerRequestPolicy,
};
use serde_json::json;

use super::{TRACE_ID, TRACE_PARENT, is_request_id};
use crate::support::{
    audit::AuditLog,
    client::{Client, ClientVersion},
    gateway::{TestGateway, gateway_name, routes},
    raw::HttpResponse,
    servers::{Reply, ScriptedServer, scripted},
};

const KINDS: [(&str, AuditAction); 4] = [
    ("tools/call", AuditAction::CallTool),
    ("prompts/get", AuditAction::GetPrompt),
    ("resources/read", AuditAction::ReadResource),
    ("x.denied/do", AuditAction::Other),
];

/// A server with a tool, a prompt, a resource and a method of each of these names, which answers `{}` to all of them.
async fn server() -> ScriptedServer {
    scripted(|request| {
        let hints = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;
        let names = ["open", "denied", "quiet", "more"];
        let list = |member: &str, item: &dyn Fn(&str) -> serde_json::Value| {
            let items: Vec<_> = names.iter().map(|name| item(name)).collect();
            Reply::result(request, format!(r#"{{"{member}":{},{hints}}}"#, json!(items)))
        };
        match request.method() {
            "server/discover" => Reply::result(request, format!(
                r#"{{"supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{}},"prompts":{{}},"resources":{{}}}},{hints}}}"#
            )),
            "tools/list" => list("tools", &|name| json!({"name": name, "inputSchema": {"type": "object"}})),
            "prompts/list" => list("prompts", &|name| json!({"name": name})),
            "resources/list" => list("resources", &|name| json!({"uri": format!("x:{name}"), "name": name})),
            "resources/templates/list" => {
                Reply::result(request, format!(r#"{{"resourceTemplates":[],{hints}}}"#))
            }
            "resources/read" if request.params()["uri"] == "x:absent" => {
                Reply::error_with(request, json!({"code": -32602, "message": "resource not found", "data": {"uri": "x:absent"}}))
            }
            _ => Reply::result(request, r#"{"resultType":"complete","content":[],"messages":[],"contents":[]}"#),
        }
    })
    .await
}

fn decide(_: &Caller, action: &Action<'_>) -> Decision {
    let name = action.name();
    let scope = |scope: &str| Scope::parse(scope).expect("a scope");
    if name.contains("denied") {
        Decision::deny_because("not today")
    } else if name.contains("quiet") {
        Decision::deny()
    } else if name.contains("more") {
        Decision::step_up([scope("issues:read"), scope("issues:write")])
    } else {
        Decision::Allow
    }
}

/// A gateway in front of it, with its names.
async fn start() -> (ScriptedServer, Arc<AuditLog>, TestGateway) {
    let upstream = server().await;
    let audit = AuditLog::new();
    let gateway = TestGateway::builder()
        .unpublished()
        .audit(audit.clone())
        .parts(|parts| parts.policy = Arc::new(PolicyFn(decide)))
        .start()
        .await;
    let mut spec = GatewaySpec::new(gateway_name("default"));
    spec.naming = Naming::Plain;
    let routes = routes(&[("up", &upstream.url())], ServerRequestPolicy::default());
    gateway.publish_whole(Publication::new(spec, routes)).await;
    (upstream, audit, gateway)
}

/// Requests the thing of this name, by the method that belongs to it.
async fn request(client: &Client, method: &str, name: &str) -> HttpResponse {
    let (method, params) = match method {
        "resources/read" => (method.to_owned(), format!(r#""uri":"x:{name}""#)),
        "tools/call" | "prompts/get" => (method.to_owned(), format!(r#""name":"{name}""#)),
        method => (method.replace("denied", name), String::new()),
    };
    let post = client.request("1", &method, &params, "");
    client.send(&post.and("traceparent", TRACE_PARENT)).await
}

#[tokio::test]
async fn denied_request_is_recorded_once() {
    let (upstream, audit, gateway) = start().await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        for (method, action) in KINDS {
            for (name, reason) in [("denied", Some("not today".into())), ("quiet", None)] {
                let what = format!("{method} {name} {version:?}");
                request(&client, method, name).await;
                let record = audit.take_call();
                assert_eq!(record.outcome, AuditOutcome::Denied { reason }, "{what}");
                assert_eq!(record.action, action, "{what}");
                assert_eq!((&*record.subject, &*record.server), ("user:alice", "up"), "{what}");
                assert!(record.what.contains(name) && record.has_install, "{what}: {record:?}");
                is_request_id(record.request_id.as_deref());
                assert_eq!(record.trace_id.as_deref(), Some(TRACE_ID), "{what}");
                assert!(record.token_id.is_some(), "{what}");
            }
        }
    }
    for method in [
        "tools/call",
        "prompts/get",
        "resources/read",
        "x.denied/do",
        "x.quiet/do",
    ] {
        assert_eq!(upstream.count_of(method), 0, "{method}");
    }
}

#[tokio::test]
async fn denied_is_answered_like_unknown() {
    let (_upstream, audit, gateway) = start().await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        for (method, _) in KINDS {
            // The server itself has any method, so one that does not exist is of no server.
            let unknown = match method {
                "x.denied/do" => None,
                _ => Some(request(&client, method, "absent").await),
            };
            audit.take_calls();
            for name in ["denied", "quiet"] {
                let what = format!("{method} {name} {version:?}");
                let denied = request(&client, method, name).await;
                assert!(denied.head.get("www-authenticate").is_none(), "{what}");
                assert!(!denied.text().contains("not today"), "{what}");
                match &unknown {
                    Some(unknown) => {
                        assert_eq!(denied.status(), unknown.status(), "{what}");
                        assert_eq!(denied.text(), unknown.text().replace("absent", name), "{what}");
                    }
                    None => assert_eq!(denied.json()["error"]["code"], -32601, "{what}"),
                }
            }
        }
        for (method, member) in [("tools", "tools"), ("prompts", "prompts"), ("resources", "resources")] {
            let listed = client.result_of(&format!("{method}/list"), json!({})).await;
            let names: Vec<_> = listed[member]
                .as_array()
                .expect("a list")
                .iter()
                .map(|item| &item["name"])
                .collect();
            assert_eq!(names, ["more", "open"], "{method}");
        }
    }
}

#[tokio::test]
async fn step_up_names_scopes() {
    let (upstream, audit, gateway) = start().await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        for (method, action) in KINDS {
            let what = format!("{method} {version:?}");
            let refused = request(&client, method, "more").await;
            assert_eq!(refused.status(), 403, "{what}: {refused:?}");
            let challenge = refused.head.get("www-authenticate").expect("a challenge");
            assert!(
                challenge.starts_with(r#"Bearer realm="default""#),
                "{what}: {challenge}"
            );
            for part in [r#"error="insufficient_scope""#, r#"scope="issues:read issues:write""#] {
                assert!(challenge.contains(part), "{what}: {challenge}");
            }
            assert_eq!(refused.json()["id"], 1, "{what}");
            let record = audit.take_call();
            assert_eq!(record.action, action, "{what}");
            let reason = Some("the token lacks a scope".into());
            assert_eq!(record.outcome, AuditOutcome::Denied { reason }, "{what}");
        }
        assert!(client.tools().await.contains(&"more".to_owned()));
    }
    assert_eq!(upstream.count_of("tools/call"), 0);
}
