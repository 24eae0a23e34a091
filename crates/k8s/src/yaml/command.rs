//! The command that a given Deployment sets.

use k8s_openapi::api::core::v1::Container;

use crate::{
    name::CONTAINER,
    render::{ContainerCommand, spec, without_bridge},
};

use super::ParsedDeployment;

impl ParsedDeployment {
    /// The command of the server's container; `None` where it sets none.
    ///
    /// A bridge before it is taken off: what was shown may come back as what is given.
    pub(crate) fn command(&self) -> Option<ContainerCommand> {
        let pod = spec(&self.deployment)?.template.spec.as_ref()?;
        let server = pod.containers.get(server(&pod.containers))?;
        let command = without_bridge(ContainerCommand {
            program: server.command.clone().filter(|command| !command.is_empty()),
            args: server.args.clone(),
        });
        (command != ContainerCommand::default()).then_some(command)
    }
}

/// Which container is the server's: the one of that name, else the first.
pub(crate) fn server(containers: &[Container]) -> usize {
    let named = containers.iter().position(|container| container.name == CONTAINER);
    named.unwrap_or(0)
}
