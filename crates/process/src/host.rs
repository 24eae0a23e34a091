//! A configuration from the environment of this process: for programs, not for libraries.

use std::path::PathBuf;

use crate::{ProcessConfig, WorkDir};

/// Variables that children inherit: user, locale, proxies, certificates.
const INHERITED: [&str; 19] = [
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "XDG_CACHE_HOME",
    "VIRTUAL_ENV",
];

/// Prefixes of inherited variables that configure package managers.
const INHERITED_PREFIXES: [&str; 4] = ["npm_config_", "NPM_CONFIG_", "PIP_", "UV_"];

impl ProcessConfig {
    /// Returns a configuration for a program on a developer's machine: the search path and working directory of this
    /// process, and those of its environment variables that package managers, proxies and locales need.
    ///
    /// Private directories are below `portolan-<user id>` in the directory for temporary files, for all hosts of this user.
    ///
    /// It reads the environment, which nothing else in this crate does; a host with a configuration of its own uses
    /// [`ProcessConfig::new`].
    ///
    /// ```
    /// let config = portolan_process::ProcessConfig::of_this_process();
    /// assert_eq!(Some(config.path), std::env::var_os("PATH"));
    /// ```
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that is asked to read the environment"
    )]
    pub fn of_this_process() -> Self {
        // One for all hosts of this user, so that each finds what a killed one has left.
        let user = rustix::process::geteuid().as_raw();
        let base = std::env::temp_dir().join(format!("portolan-{user}"));
        let mut config = Self::new(base);
        if let Some(path) = std::env::var_os("PATH") {
            config.path = path;
        }
        config.work_dir = WorkDir::At(std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")));
        config.inherit = std::env::vars_os()
            .filter(|(name, _)| {
                name.to_str().is_some_and(|name| {
                    INHERITED.contains(&name) || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                })
            })
            .collect();
        config
    }
}
