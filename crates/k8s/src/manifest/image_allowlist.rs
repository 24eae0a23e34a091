//! The images that may run in an environment.

use portolan_core::{Error, Result};

/// The image patterns of an environment, and the platform's own images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageAllowlist<'a> {
    /// The patterns; an empty list allows every image.
    pub(crate) patterns: &'a [String],
    /// The base image and the image of the bridge, which are always allowed.
    pub(crate) platform: [Option<&'a str>; 2],
}

impl ImageAllowlist<'_> {
    /// Checks that `image` may run.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for `image` if no pattern matches it.
    pub(crate) fn check(&self, image: &str) -> Result<()> {
        let reference = normalized(image, false);
        let matches = |pattern: &String| is_within(&reference, &normalized(pattern, true));
        if self.patterns.is_empty() || self.platform.contains(&Some(image)) || self.patterns.iter().any(matches) {
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

/// Returns the reference with its registry, as container runtimes resolve it. A pattern may end before any `/`, `:` or `@`.
fn normalized(text: &str, is_pattern: bool) -> String {
    let text = text.strip_suffix('*').unwrap_or(text);
    let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let reference = match text.split_once('/') {
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
    reference.trim_end_matches('/').to_owned()
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
            platform: [None, None],
        };
        allowed.check(image).is_ok()
    }

    #[test]
    fn patterns_match_whole_components() {
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
}
