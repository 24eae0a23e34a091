//! The initial Deployment YAML of a server.

use portolan_core::{Delivery, Result, ServerSpec, Source};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{config::KubeConfig, manifest::write, name::CONTAINER, render};

/// Returns the Deployment YAML that renders the same objects as no YAML at all, with placeholders where installs differ: a
/// starting point for editing, and the result of a reset.
///
/// It omits what rendering fills in: probes, ports, the security context, scheduling.
///
/// ```
/// use portolan_core::ServerSpec;
/// use portolan_k8s::{KubeConfig, yaml};
///
/// let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
/// let text = yaml::template(&server, &KubeConfig::in_namespace("mcp-servers"))?;
/// assert!(text.contains("${portolan.arguments}"));
/// # Ok::<(), portolan_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Invalid`](portolan_core::Error::Invalid) if the server's other options are refused; see [`render::check`].
pub fn template(server: &ServerSpec, config: &KubeConfig) -> Result<String> {
    let mut plain = server.clone();
    plain.kubernetes.deployment_yaml = None;
    render::check(&plain, config)?;
    let pod = vec![
        ("serviceAccountName", text("${portolan.service_account}")),
        ("containers", Node::List(vec![Node::Map(container(server))])),
    ];
    let map = |key, node| Node::Map(vec![(key, node)]);
    write(&Node::Map(vec![
        ("apiVersion", text("apps/v1")),
        ("kind", text("Deployment")),
        (
            "metadata",
            Node::Map(vec![
                ("name", text("${portolan.deployment_name}")),
                ("namespace", text("${portolan.namespace}")),
            ]),
        ),
        ("spec", map("template", map("spec", Node::Map(pod)))),
    ]))
}

fn container(server: &ServerSpec) -> Vec<(&'static str, Node)> {
    let mut container = vec![("name", text(CONTAINER)), ("image", text("${portolan.docker_image}"))];
    let (has_program, has_args) = match &server.source {
        Source::Command { args, .. } => (true, !args.is_empty()),
        Source::Image { program, args, .. } => (program.is_some(), !args.is_empty()),
        _ => (false, false),
    };
    if has_program {
        container.push(("command", Node::List(vec![text("${portolan.command}")])));
    }
    if has_args {
        container.push(("args", text("${portolan.arguments}")));
    }
    let env = server.fields.iter().filter_map(|field| match &field.delivery {
        Delivery::Env { name } => {
            let kind = if field.secret { "secret" } else { "env" };
            Some(Node::Map(vec![
                ("name", text(name)),
                ("value", text(format!("${{{kind}.{name}}}"))),
            ]))
        }
        _ => None,
    });
    let env: Vec<_> = env.collect();
    if !env.is_empty() {
        container.push(("env", Node::List(env)));
    }
    container
}

/// A YAML document whose keys keep their order.
enum Node {
    Text(String),
    List(Vec<Self>),
    Map(Vec<(&'static str, Self)>),
}

fn text(text: impl Into<String>) -> Node {
    Node::Text(text.into())
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, node) in pairs {
                    map.serialize_entry(key, node)?;
                }
                map.end()
            }
        }
    }
}
