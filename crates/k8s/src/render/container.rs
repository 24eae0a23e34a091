//! The container that the server runs in.

use k8s_openapi::api::core::v1::{Container, ContainerPort, Lifecycle, LifecycleHandler, SleepAction, VolumeMount};
use portolan_core::Result;

use crate::name::CONTAINER;

use super::{Carrier, env, files, hardening, image, pod, probe, render_plan::RenderPlan, resources};

/// The name of its port.
pub(super) const PORT_NAME: &str = "mcp";

/// The container, seeing `mounts`.
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

/// What the way in needs: an open input, or a port that is probed.
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

/// An input that stays open when whoever is attached to it goes.
pub(super) fn attachable(container: &mut Container) {
    container.stdin = Some(true);
    container.stdin_once = Some(false);
    container.tty = Some(false);
}

/// Lets a pod that is taken out of service serve on for a moment: those who call it learn of that a little later than the
/// kubelet does, and until then send calls to it. The kubelet does the sleeping, so the image needs no shell.
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
