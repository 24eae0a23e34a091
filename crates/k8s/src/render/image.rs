//! Image references: when one is pulled, and which may run.

use portolan_core::{Error, ImagePull, Result};

use super::render_plan::RenderPlan;

/// The images that may run in an environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageAllowlist<'a> {
    /// Patterns; none allows all.
    pub(crate) patterns: &'a [String],
    /// Images of the platform itself.
    pub(crate) ours: [Option<&'a str>; 2],
}

impl ImageAllowlist<'_> {
    /// Fails for an image that is not allowed.
    pub(crate) fn check(&self, image: &str) -> Result<()> {
        let normalized = normalized(image, false);
        let fits = |pattern: &String| is_within(&normalized, &self::normalized(pattern, true));
        if self.patterns.is_empty() || self.ours.contains(&Some(image)) || self.patterns.iter().any(fits) {
            return Ok(());
        }
        Err(Error::invalid(
            "image",
            format!(
                "{image:?} is not allowed in this environment; use one of {:?}, or add it to \
                 Environment::allowed_images",
                self.patterns
            ),
        ))
    }
}

/// When the server's image is pulled.
pub(super) fn server_pull_policy(plan: &RenderPlan<'_>) -> &'static str {
    match plan.input.spec.kubernetes.image_pull {
        Some(ImagePull::Always) => "Always",
        Some(ImagePull::Never) => "Never",
        Some(ImagePull::IfNotPresent) => "IfNotPresent",
        _ => pull_policy(&plan.image),
    }
}

/// When an image is pulled: a bare name stands for one that the node was given.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if has_no_registry(image) {
        "Never"
    } else {
        "IfNotPresent"
    }
}

/// Whether `image` names neither a registry nor a folder.
fn has_no_registry(image: &str) -> bool {
    !image.contains(['/', '.'])
}

/// The reference as nodes read it, with its registry. A pattern may end anywhere before a `/`, `:` or `@`.
fn normalized(text: &str, is_pattern: bool) -> String {
    let text = text.strip_suffix('*').unwrap_or(text);
    let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let normalized = match text.split_once('/') {
        Some((first, rest)) if is_registry(first) => {
            let hub = matches!(first, "docker.io" | "index.docker.io" | "registry-1.docker.io");
            match rest {
                rest if !hub => format!("{first}/{rest}"),
                rest if is_pattern || rest.contains('/') => format!("docker.io/{rest}"),
                name => format!("docker.io/library/{name}"),
            }
        }
        Some(_) => format!("docker.io/{text}"),
        None if is_pattern && is_registry(text.split(':').next().unwrap_or(text)) => text.to_owned(),
        None => format!("docker.io/library/{text}"),
    };
    normalized.trim_end_matches('/').to_owned()
}

fn is_within(image: &str, pattern: &str) -> bool {
    image
        .strip_prefix(pattern)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, image: &str) -> bool {
        let patterns = [pattern.to_owned()];
        let allowed = ImageAllowlist {
            patterns: &patterns,
            ours: [None, None],
        };
        allowed.check(image).is_ok()
    }

    #[test]
    fn a_pattern_ends_at_a_boundary() {
        for (pattern, image) in [
            ("ghcr.io", "ghcr.io/acme/time:1"),
            ("ghcr.io/acme", "ghcr.io/acme/time:1"),
            ("ghcr.io/acme/", "ghcr.io/acme/time"),
            ("ghcr.io/acme/*", "ghcr.io/acme/time@sha256:0123"),
            ("ghcr.io/acme/time", "ghcr.io/acme/time:1"),
            ("ghcr.io/acme/time:1", "ghcr.io/acme/time:1"),
            ("localhost:5000/", "localhost:5000/time"),
            ("localhost", "localhost/time"),
            ("redis", "redis:7.2"),
            ("redis:7", "docker.io/library/redis:7"),
            ("docker.io/library/redis", "index.docker.io/redis"),
            ("docker.io/library", "redis"),
            ("acme/", "acme/time:2"),
            ("docker.io/acme", "acme/time"),
        ] {
            assert!(allows(pattern, image), "{pattern} and {image}");
        }
        for (pattern, image) in [
            ("ghcr.io/acme", "ghcr.io/acme-evil/time"),
            ("ghcr.io", "ghcr.io.evil.example/time"),
            ("ghcr.io/acme/time:1", "ghcr.io/acme/time:10"),
            ("redis", "evil.example/redis"),
            ("redis", "evil/redis"),
            ("redis", "redis-evil"),
            ("acme", "acme/time"),
            ("docker.io/library", "acme/time"),
        ] {
            assert!(!allows(pattern, image), "{pattern} and {image}");
        }
    }

    #[test]
    fn only_a_bare_name_is_never_pulled() {
        assert_eq!(pull_policy("time"), "Never");
        assert_eq!(pull_policy("time:7"), "Never");
        for pulled in ["acme/time", "ghcr.io/acme/time:1", "time:1.2"] {
            assert_eq!(pull_policy(pulled), "IfNotPresent", "{pulled}");
        }
    }
}
