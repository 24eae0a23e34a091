//! Image pull policies.

use portolan_core::ImagePull;

use super::render_plan::RenderPlan;

/// Returns the pull policy of the server's image.
pub(super) fn server_pull_policy(plan: &RenderPlan<'_>) -> &'static str {
    match plan.input.spec.kubernetes.image_pull {
        Some(ImagePull::Always) => "Always",
        Some(ImagePull::Never) => "Never",
        Some(ImagePull::IfNotPresent) => "IfNotPresent",
        _ => pull_policy(&plan.image),
    }
}

/// Returns the default pull policy of an image: a name without registry and path refers to an image that was loaded onto the
/// node.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if has_no_registry(image) {
        "Never"
    } else {
        "IfNotPresent"
    }
}

fn has_no_registry(image: &str) -> bool {
    !image.contains(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_never_pulled() {
        assert_eq!(pull_policy("time"), "Never");
        assert_eq!(pull_policy("time:7"), "Never");
        for pulled in ["acme/time", "ghcr.io/acme/time:1", "time:1.2"] {
            assert_eq!(pull_policy(pulled), "IfNotPresent", "{pulled}");
        }
    }
}
