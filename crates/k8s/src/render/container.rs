//! The container of the server.

use k8s_openapi::api::core::v1::{Container, ContainerPort, Lifecycle, LifecycleHandler, SleepAction, VolumeMount};
use portolan_core::Result;

use crate::name::CONTAINER;

use super::{Carrier, env, files, hardening, image, pod, probe, render_plan::RenderPlan, resources};

/// The name of the container port.
pub(super) const PORT_NAME: &str = "mcp";

/// Builds the container, with `mounts`.
pub(super) fn container(plan: &RenderPlan<'_>, mounts: Vec<VolumeMount>) -> Result<Container> {
    let mut container = Container {
        name: CONTAINER.into(),
        image: Some(plan.image.clone()),
        image_pull_policy: Some(image::server_pull_policy(plan).into()),
        command: plan.command.program.clone(),
        args: plan.command.args.clone(),
        env: Some(env::variables(plan)?).filter(|env| !env.is_empty()),
        env_from: env::sources(plan)?,
        resources: Some(resources::requirements(plan)?),
        security_context: Some(hardening::container(files::is_root_read_only(plan))),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    expose(&mut container, plan);
    Ok(container)
}

/// Adds a port with probes, or an open standard input for attaching.
fn expose(container: &mut Container, plan: &RenderPlan<'_>) {
    let Some(port) = &plan.port else {
        attachable(container);
        return;
    };
    container.ports = Some(vec![ContainerPort {
        name: Some(PORT_NAME.into()),
        container_port: port.port.into(),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }]);
    probe::add(
        container,
        plan.carrier,
        port.port,
        plan.input.spec.kubernetes.start_seconds,
    );
    if plan.carrier == Carrier::Http {
        container.lifecycle = pre_stop_sleep(pod::grace_seconds(plan));
    }
}

/// Keeps the standard input open when an attached client disconnects.
pub(super) fn attachable(container: &mut Container) {
    container.stdin = Some(true);
    container.stdin_once = Some(false);
    container.tty = Some(false);
}

/// Keeps a terminating pod serving for a moment: callers learn of its end later than the kubelet does, and send requests until
/// then. The kubelet itself sleeps, so the image needs no shell.
fn pre_stop_sleep(grace_seconds: i64) -> Option<Lifecycle> {
    let seconds = (grace_seconds / 3).min(5);
    (seconds > 0).then(|| Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    })
}
