//! The command line of a container.

use k8s_openapi::api::core::v1::Container;

use super::ParsedManifest;
use crate::{api_compat, name::CONTAINER};

/// The command line of a container: `command` and `args` of its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerCommand {
    pub(crate) program: Option<Vec<String>>,
    pub(crate) args: Option<Vec<String>>,
}

impl ContainerCommand {
    /// Returns this command, completed from `default`. The arguments of `default` belong to its own program: a command
    /// that names another program does not take them over.
    pub(crate) fn or(self, default: &Self) -> Self {
        if self.program.is_some() {
            return self;
        }
        Self {
            program: default.program.clone(),
            args: self.args.or_else(|| default.args.clone()),
        }
    }
}

impl ParsedManifest {
    /// Returns the command of the server's container.
    pub(crate) fn command(&self) -> Option<ContainerCommand> {
        let pod = api_compat::spec(&self.deployment)?.template.spec.as_ref()?;
        let server = pod.containers.get(server_index(&pod.containers))?;
        Some(ContainerCommand {
            program: server.command.clone().filter(|command| !command.is_empty()),
            args: server.args.clone(),
        })
    }
}

/// Returns the index of the server's container: the one named [`CONTAINER`], else the first.
pub(crate) fn server_index(containers: &[Container]) -> usize {
    let named = containers.iter().position(|container| container.name == CONTAINER);
    named.unwrap_or(0)
}
