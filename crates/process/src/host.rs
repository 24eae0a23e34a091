//! What a program hands on of its own surroundings: for `main`, not for libraries.

use std::path::PathBuf;

use crate::{ProcessConfig, WorkDir};

/// Variables that children may see: where they are, in which language, through which proxy, with which certificates.
const HANDED_ON: [&str; 19] = [
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

/// Beginnings of variables that say where package managers fetch from.
const PACKAGE_MANAGERS: [&str; 4] = ["npm_config_", "NPM_CONFIG_", "PIP_", "UV_"];

impl ProcessConfig {
    /// What suits a program on a developer's machine: this process' search path and working directory, and of its
    /// environment only what package managers, proxies and locales need.
    ///
    /// This reads the environment, which nothing else here does; a host with its own configuration uses
    /// [`ProcessConfig::new`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that is asked to read the environment"
    )]
    pub fn of_this_process() -> Self {
        let base = std::env::temp_dir().join(format!("portolan-{}", std::process::id()));
        let mut config = Self::new(base);
        if let Some(path) = std::env::var_os("PATH") {
            config.path = path;
        }
        config.work_dir = WorkDir::At(std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")));
        config.inherit = std::env::vars_os()
            .filter(|(name, _)| {
                name.to_str().is_some_and(|name| {
                    HANDED_ON.contains(&name) || PACKAGE_MANAGERS.iter().any(|begin| name.starts_with(begin))
                })
            })
            .collect();
        config
    }
}
