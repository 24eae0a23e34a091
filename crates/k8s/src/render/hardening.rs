//! The security contexts: the restricted Pod Security Standard, and a read-only root file system.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};
use portolan_core::RunAs;

use super::render_plan::RenderPlan;

/// Returns the security context of the pod.
pub(super) fn pod(plan: &RenderPlan<'_>) -> PodSecurityContext {
    let default = plan.input.config.run_as_user.map_or(RunAs::Image, RunAs::User);
    let user = match plan.input.spec.kubernetes.run_as.unwrap_or(default) {
        RunAs::User(user) => Some(i64::from(user)),
        _ => None,
    };
    PodSecurityContext {
        run_as_non_root: Some(user != Some(0)),
        run_as_user: user,
        run_as_group: user,
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// Returns the security context of one container.
pub(super) fn container(read_only_root: bool) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".into()]),
        }),
        read_only_root_filesystem: Some(read_only_root),
        ..SecurityContext::default()
    }
}
