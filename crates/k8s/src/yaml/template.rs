//! The YAML to begin with.

use portolan_core::{Delivery, Result, ServerSpec, Source};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{config::KubeConfig, name::CONTAINER, render};

use super::write;

/// The Deployment YAML that says what would be generated for `server` anyway, with placeholders where installs differ: what
/// a person begins to edit, and what a reset goes back to.
///
/// What it leaves out is filled in when it is rendered: probes, ports, the security context, scheduling.
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

/// A document whose keys stay in the order in which a person reads them.
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
