//! The decisions before any object is built: names, image, command, and how the server is reached.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Secret as SecretObject, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_core::{CredentialKey, EnvValue, Error, Result, Sharing, Source, StdioCarrier, Transport};

use crate::{
    escape,
    manifest::{ContainerCommand, ImageAllowlist, ManifestRules},
    name::{self, DeploymentKey},
};

use super::{BRIDGE_PATH, BRIDGE_PORT, Carrier, RenderInput, ServerPort, bridge, pull_secret};

/// The decisions that all objects are built from.
#[derive(Debug)]
pub(super) struct RenderPlan<'a> {
    pub(super) input: &'a RenderInput<'a>,
    pub(super) key: DeploymentKey,
    /// The name of the Deployment and the Service.
    pub(super) name: String,
    pub(super) image: String,
    /// The command that replaces the entry point of the image.
    pub(super) command: ContainerCommand,
    pub(super) carrier: Carrier,
    pub(super) port: Option<ServerPort>,
}

impl<'a> RenderPlan<'a> {
    /// Decides everything. `given` is the command of the Deployment YAML.
    pub(super) fn new(input: &'a RenderInput<'a>, given: Option<ContainerCommand>) -> Result<Self> {
        let key = DeploymentKey::of(input.name, input.spec);
        let (image, default) = image_and_command(input)?;
        let transport = input.spec.source.transport().unwrap_or(&Transport::Stdio);
        let mut command = given.map(bridge::without_bridge).unwrap_or_default().or(&default);
        let carrier = carrier(input, transport, &command)?;
        if carrier == Carrier::Bridge {
            command = bridge::with_bridge(command, input);
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
                "a stdio server runs as one process; remove replicas, or serve HTTP",
            ));
        }
        if self.input.spec.sharing != Sharing::Shared {
            return Err(Error::invalid(
                "sharing",
                "a process for each session is not supported on Kubernetes; use shared",
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

    /// Checks that a shared deployment uses no secret of a single install.
    fn check_shared(&self) -> Result<()> {
        let spec = self.input.spec;
        let own = CredentialKey::prefix_of_install(self.input.name);
        let is_own = |value: &EnvValue| matches!(value, EnvValue::Secret(key) if key.as_str().starts_with(&own));
        match spec.env.iter().chain(&spec.files).find(|(_, value)| is_own(value)) {
            Some((name, _)) => Err(Error::invalid(
                name.as_str(),
                "is a secret of one install, but all installs share this server's deployment; store it on the server, or \
                 deliver it as a header",
            )),
            None => Ok(()),
        }
    }

    /// Returns the images that containers of this deployment may use.
    pub(super) fn allowed_images(&self) -> ImageAllowlist<'_> {
        let config = self.input.config;
        ImageAllowlist {
            patterns: &self.input.environment.allowed_images,
            platform: [Some(config.base_image.as_str()), bridge::image_of(config)],
        }
    }

    /// Returns what a Deployment YAML may refer to.
    pub(super) fn manifest_rules<'r>(&'r self, secret: Option<&'r SecretObject>) -> ManifestRules<'r> {
        ManifestRules {
            images: self.allowed_images(),
            own_secret: self.secret_name(),
            own_keys: secret.and_then(|secret| secret.data.as_ref()),
            other_secrets: &self.input.config.allowed_secrets,
            pull_secrets: pull_secret::names(self),
            service_account_token: self.input.spec.kubernetes.service_account_token,
        }
    }

    /// Returns the name of the deployment's Secret, whether or not it exists.
    pub(super) fn secret_name(&self) -> String {
        name::secret(&self.name)
    }

    /// Returns the labels of all objects that only this deployment owns.
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

    /// Returns the labels that select its pods.
    pub(super) fn selector(&self) -> BTreeMap<String, String> {
        self.key.selector(&self.input.config.field_manager)
    }

    /// Returns the metadata of an object named `name`.
    pub(super) fn meta(&self, name: impl Into<String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.input.environment.namespace.clone()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

/// Returns the image and the command that runs in it.
fn image_and_command(input: &RenderInput<'_>) -> Result<(String, ContainerCommand)> {
    let list = |texts: &[String]| Some(escape::all_escaped(texts)).filter(|texts| !texts.is_empty());
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
            "is a remote server, which no runtime runs; use a command or an image",
        )),
    }
}

/// Returns how the server is reached. The bridge needs to know the program; an image whose program is unknown is attached to.
fn carrier(input: &RenderInput<'_>, transport: &Transport, command: &ContainerCommand) -> Result<Carrier> {
    if matches!(transport, Transport::Http { .. }) {
        return Ok(Carrier::Http);
    }
    match (input.spec.kubernetes.stdio, &command.program) {
        (Some(StdioCarrier::Bridge), None) => Err(Error::invalid(
            "stdio",
            "the bridge does not know which program the image runs; name the program, or use StdioCarrier::Attach",
        )),
        (None, None) => Ok(Carrier::Attach),
        (asked, _) => Ok(asked.unwrap_or(input.config.stdio).into()),
    }
}

fn port(carrier: Carrier, transport: &Transport) -> Result<Option<ServerPort>> {
    match (carrier, transport) {
        (Carrier::Attach, _) => Ok(None),
        (Carrier::Http, Transport::Http { port: 0, .. }) => {
            Err(Error::invalid("port", "0 is not a port; use 1 to 65535"))
        }
        (Carrier::Http, Transport::Http { path, .. }) if !path.starts_with('/') => {
            Err(Error::invalid("path", format!("{path:?} must begin with '/'")))
        }
        (Carrier::Http, Transport::Http { port, path }) => Ok(Some(ServerPort::new(*port, path))),
        _ => Ok(Some(ServerPort::new(BRIDGE_PORT, BRIDGE_PATH))),
    }
}
