//! What is decided before any object is made: names, the image, the command, and how the server is reached.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Secret as SecretObject, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_core::{CredentialKey, EnvValue, Error, Result, Sharing, Source, StdioCarrier, Transport};

use crate::{
    name::{self, DeploymentKey},
    yaml::YamlRules,
};

use super::{BRIDGE_PATH, BRIDGE_PORT, Carrier, ImageAllowlist, RenderInput, ServerPort, bridge, pull_secret};

/// The decisions.
#[derive(Debug)]
pub(super) struct RenderPlan<'a> {
    pub(super) input: &'a RenderInput<'a>,
    pub(super) key: DeploymentKey,
    /// The name of the Deployment and the Service.
    pub(super) name: String,
    pub(super) image: String,
    /// What replaces the image's entry point, and its arguments.
    pub(super) command: ContainerCommand,
    pub(super) carrier: Carrier,
    pub(super) port: Option<ServerPort>,
}

/// A command line as a container has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerCommand {
    pub(crate) program: Option<Vec<String>>,
    pub(crate) args: Option<Vec<String>>,
}

impl<'a> RenderPlan<'a> {
    /// Decides. `given` is the command that a Deployment YAML sets.
    pub(super) fn of(input: &'a RenderInput<'a>, given: Option<ContainerCommand>) -> Result<Self> {
        let key = DeploymentKey::of(input.name, input.spec);
        let (image, own) = source(input)?;
        let transport = input.spec.source.transport().unwrap_or(&Transport::Stdio);
        let mut command = given.unwrap_or_default().over(&own);
        let carrier = carrier(input, transport, &command)?;
        if carrier == Carrier::Bridge {
            command = bridge::wrapped(command, input);
        }
        let plan = Self {
            name: key.deployment_name(&input.spec.server),
            port: port(carrier, transport)?,
            key,
            image,
            command,
            carrier,
            input,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        let options = &self.input.spec.kubernetes;
        if let Source::Image { image, .. } = &self.input.spec.source {
            self.allowed_images().check(image)?;
        }
        if self.carrier != Carrier::Http && options.replicas.is_some_and(|replicas| replicas != 1) {
            return Err(Error::invalid(
                "replicas",
                "a stdio server is one process; leave them out, or serve HTTP",
            ));
        }
        if self.input.spec.sharing != Sharing::Shared {
            return Err(Error::invalid(
                "sharing",
                "a process for each conversation is not there on Kubernetes; use shared",
            ));
        }
        if let Some(account) = &options.service_account
            && !self.input.config.service_accounts.contains(account)
        {
            return Err(Error::invalid(
                "service account",
                format!(
                    "{account:?} is not allowed for servers; use another, or add it to KubeConfig::service_accounts"
                ),
            ));
        }
        if matches!(self.key, DeploymentKey::Shared(_)) {
            self.check_shared()?;
        }
        Ok(())
    }

    /// What all installs share cannot know the secret of one.
    fn check_shared(&self) -> Result<()> {
        let spec = self.input.spec;
        let own = CredentialKey::prefix_of_install(self.input.name);
        let is_own = |value: &EnvValue| matches!(value, EnvValue::Secret(key) if key.as_str().starts_with(&own));
        match spec.env.iter().chain(&spec.files).find(|(_, value)| is_own(value)) {
            Some((name, _)) => Err(Error::invalid(
                name.as_str(),
                "is a secret of one install, but all installs share this server's deployment; store it on the server, or \
                 send it as a header",
            )),
            None => Ok(()),
        }
    }

    /// The images that containers of this deployment may have.
    pub(super) fn allowed_images(&self) -> ImageAllowlist<'_> {
        let config = self.input.config;
        ImageAllowlist {
            patterns: &self.input.environment.allowed_images,
            ours: [Some(config.base_image.as_str()), bridge::image_of(config)],
        }
    }

    /// What a Deployment YAML is held to.
    pub(super) fn rules<'r>(&'r self, secret: Option<&'r SecretObject>) -> YamlRules<'r> {
        YamlRules {
            images: self.allowed_images(),
            own_secret: self.secret_name(),
            own_keys: secret.and_then(|secret| secret.data.as_ref()),
            other_secrets: &self.input.config.allowed_secrets,
            pull_secrets: pull_secret::names(self),
            service_account_token: self.input.spec.kubernetes.service_account_token,
        }
    }

    /// The name of the deployment's Secret, whether there is one or not.
    pub(super) fn secret_name(&self) -> String {
        name::secret(&self.name)
    }

    /// The labels of everything that belongs to the deployment alone.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let spec = self.input.spec;
        let mut labels = self.selector();
        labels.insert(name::NAME.into(), name::CONTAINER.into());
        labels.insert(name::SERVER.into(), spec.server.to_string());
        if matches!(self.key, DeploymentKey::Install(_)) {
            labels.extend(name::owner_labels(&spec.owner));
        }
        labels
    }

    /// The labels that choose its pods.
    pub(super) fn selector(&self) -> BTreeMap<String, String> {
        self.key.selector(&self.input.config.field_manager)
    }

    /// The metadata of an object named `name`.
    pub(super) fn meta(&self, name: impl Into<String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.input.environment.namespace.clone()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

impl ContainerCommand {
    /// This one, with what it leaves open taken from `own`. Arguments of one program are none of another's.
    fn over(self, own: &Self) -> Self {
        if self.program.is_some() {
            return self;
        }
        Self {
            program: own.program.clone(),
            args: self.args.or_else(|| own.args.clone()),
        }
    }
}

/// The image, and the command that runs in it.
fn source(input: &RenderInput<'_>) -> Result<(String, ContainerCommand)> {
    let list = |texts: &[String]| Some(super::escape::all(texts)).filter(|texts| !texts.is_empty());
    match &input.spec.source {
        Source::Command { program, args, .. } => {
            let command = ContainerCommand {
                program: list(std::slice::from_ref(program)),
                args: list(args),
            };
            Ok((input.config.base_image.clone(), command))
        }
        Source::Image {
            image, program, args, ..
        } => {
            let command = ContainerCommand {
                program: program.as_ref().and_then(|program| list(std::slice::from_ref(program))),
                args: list(args),
            };
            Ok((image.clone(), command))
        }
        _ => Err(Error::invalid(
            "source",
            "a remote server is not run here; only a command or an image is",
        )),
    }
}

/// How the server is reached. Where nothing says which program an image runs, the bridge has nothing to start.
fn carrier(input: &RenderInput<'_>, transport: &Transport, command: &ContainerCommand) -> Result<Carrier> {
    if matches!(transport, Transport::Http { .. }) {
        return Ok(Carrier::Http);
    }
    match (input.spec.kubernetes.stdio, &command.program) {
        (Some(StdioCarrier::Bridge), None) => Err(Error::invalid(
            "stdio",
            "the bridge cannot tell which program the image runs; name the program, or use StdioCarrier::Attach",
        )),
        (None, None) => Ok(Carrier::Attach),
        (asked, _) => Ok(asked.unwrap_or(input.config.stdio).into()),
    }
}

fn port(carrier: Carrier, transport: &Transport) -> Result<Option<ServerPort>> {
    match (carrier, transport) {
        (Carrier::Attach, _) => Ok(None),
        (Carrier::Http, Transport::Http { port: 0, .. }) => Err(Error::invalid("port", "0 is no port to listen on")),
        (Carrier::Http, Transport::Http { path, .. }) if !path.starts_with('/') => {
            Err(Error::invalid("path", format!("{path:?} does not begin with '/'")))
        }
        (Carrier::Http, Transport::Http { port, path }) => Ok(Some(ServerPort {
            port: *port,
            path: path.clone(),
        })),
        _ => Ok(Some(ServerPort {
            port: BRIDGE_PORT,
            path: BRIDGE_PATH.into(),
        })),
    }
}
