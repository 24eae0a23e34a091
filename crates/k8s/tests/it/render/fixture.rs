//! A run spec with the rest of the render input, which each test changes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use portolan_core::{
    CredentialKey, EnvValue, Error, InstallName, Owner, Result, RunSpec, Secret, ServerName, Source, TeamId, Transport,
};
use portolan_k8s::{
    Environment, KubeConfig, Scheduling,
    render::{RenderInput, Rendered, RestartRequest, render, show},
};
use serde_json::Value as Json;

pub(super) const INSTALL: &str = "01935a5a-5a5a-7000-8000-00000000abcd";
/// The name of the rendered Deployment.
pub(super) const NAME: &str = "mcp-time-00000000abcd";

#[derive(Clone, Debug)]
pub(super) struct Fixture {
    pub(super) name: InstallName,
    pub(super) spec: RunSpec,
    pub(super) config: KubeConfig,
    pub(super) environment: Environment,
    pub(super) secrets: BTreeMap<CredentialKey, Secret>,
    pub(super) token: Secret,
    pub(super) scheduling: Scheduling,
    pub(super) restart: Option<RestartRequest>,
}

impl Fixture {
    pub(super) fn of(source: Source) -> Self {
        let server = ServerName::parse("time").expect("a name");
        let team = Owner::Team(TeamId::parse("web").expect("a team"));
        Self {
            name: InstallName::parse(INSTALL).expect("an id"),
            spec: RunSpec::new(server, team, source),
            config: KubeConfig::in_namespace("mcp-servers"),
            environment: Environment::in_namespace("mcp-servers"),
            secrets: BTreeMap::new(),
            token: Secret::new("a-random-token"),
            scheduling: Scheduling::default(),
            restart: None,
        }
    }

    /// Creates `uvx mcp-server-time`, in the base image, over stdio.
    pub(super) fn command() -> Self {
        Self::of(Source::Command {
            program: "uvx".into(),
            args: vec!["mcp-server-time".into()],
            transport: Transport::Stdio,
        })
    }

    /// Creates an image that serves HTTP.
    pub(super) fn http() -> Self {
        Self::of(Source::Image {
            image: "ghcr.io/acme/time:1".into(),
            program: None,
            args: Vec::new(),
            transport: Transport::Http {
                port: 3000,
                path: "/mcp".into(),
            },
        })
    }

    /// Creates an image that uses stdio.
    pub(super) fn stdio_image(program: Option<&str>) -> Self {
        Self::of(Source::Image {
            image: "ghcr.io/acme/time:1".into(),
            program: program.map(Into::into),
            args: Vec::new(),
            transport: Transport::Stdio,
        })
    }

    /// Creates one of each kind.
    pub(super) fn all() -> Vec<Self> {
        let (mut attached, mut copied) = (Self::command(), Self::command());
        attached.spec.kubernetes.stdio = Some(portolan_core::StdioCarrier::Attach);
        copied.config.bridge = portolan_k8s::BridgeSource::Image("ghcr.io/acme/bridge:1".into());
        vec![
            Self::command(),
            Self::http(),
            Self::stdio_image(None),
            Self::stdio_image(Some("/server")),
            attached,
            copied,
        ]
    }

    pub(super) fn plain(mut self, name: &str, text: &str) -> Self {
        self.spec.env.insert(name.into(), EnvValue::Plain(text.into()));
        self
    }

    pub(super) fn secret(mut self, name: &str, text: &str) -> Self {
        let key = self.key(&name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), text);
        self.spec.env.insert(name.into(), EnvValue::Secret(key));
        self
    }

    pub(super) fn file(mut self, name: &str, text: &str) -> Self {
        let key = self.key(
            &format!("file-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
            text,
        );
        self.spec.files.insert(name.into(), EnvValue::Secret(key));
        self
    }

    /// Stores a secret.
    pub(super) fn key(&mut self, name: &str, text: &str) -> CredentialKey {
        let key = CredentialKey::parse(format!("install/{INSTALL}/{name}")).expect("a key");
        self.secrets.insert(key.clone(), Secret::new(text));
        key
    }

    pub(super) fn yaml(mut self, text: impl Into<String>) -> Self {
        self.spec.kubernetes.deployment_yaml = Some(text.into());
        self
    }

    fn input(&self) -> RenderInput<'_> {
        RenderInput::new(&self.name, &self.spec, &self.config, &self.environment, &self.token)
            .with_secrets(&self.secrets)
            .with_scheduling(&self.scheduling)
            .with_restart(self.restart)
    }

    pub(super) fn try_render(&self) -> Result<Rendered> {
        render(&self.input())
    }

    #[track_caller]
    pub(super) fn render(&self) -> Rendered {
        self.try_render().expect("renders")
    }

    #[track_caller]
    pub(super) fn show(&self) -> String {
        show(&self.input()).expect("renders")
    }

    /// Renders the Deployment as JSON.
    #[track_caller]
    pub(super) fn deployment(&self) -> Json {
        json(&self.render().deployment)
    }

    /// Renders the pod spec as JSON.
    #[track_caller]
    pub(super) fn pod(&self) -> Json {
        pod(&self.render().deployment)
    }

    /// Renders the container of the server as JSON.
    #[track_caller]
    pub(super) fn container(&self) -> Json {
        server(&self.pod())
    }

    /// Returns the error of rendering.
    #[track_caller]
    pub(super) fn refusal(&self) -> String {
        match self.try_render() {
            Err(error @ Error::Invalid { .. }) => error.to_string(),
            other => panic!("refused as invalid, not {other:?}"),
        }
    }
}

pub(super) fn json(object: &impl serde::Serialize) -> Json {
    serde_json::to_value(object).expect("an object")
}

pub(super) fn pod(deployment: &Deployment) -> Json {
    json(deployment)["spec"]["template"]["spec"].clone()
}

pub(super) fn server(pod: &Json) -> Json {
    named(&pod["containers"], "mcp-server").clone()
}

/// Finds an item of a list by its name.
#[track_caller]
pub(super) fn named<'a>(list: &'a Json, name: &str) -> &'a Json {
    find(list, name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

pub(super) fn find<'a>(list: &'a Json, name: &str) -> Option<&'a Json> {
    list.as_array()?.iter().find(|item| item["name"] == name)
}
