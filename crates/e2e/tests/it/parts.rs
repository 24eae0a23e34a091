//! Where the real parts and the gateway under test are. `cargo xtask test` says it in two variables.
#![expect(
    clippy::disallowed_methods,
    reason = "the test command hands over its folders in the environment"
)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const HOW: &str = "run `cargo xtask test --only e2e`, which prepares it";

/// The folder with `bin/node`, `npm/node_modules` and `python/bin/python`.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = std::env::var_os("PORTOLAN_PARTS").with_context(|| format!("PORTOLAN_PARTS is not set: {HOW}"))?;
    Ok(folder.into())
}

/// The gateway under test: the one that was named, else the one that cargo builds beside this test.
pub(crate) fn gateway() -> Result<PathBuf> {
    let file = match std::env::var_os("PORTOLAN_GATEWAY") {
        Some(file) => PathBuf::from(file),
        None => std::env::current_exe()?
            .ancestors()
            .nth(2)
            .context("no folder above")?
            .join("examples/gateway_only"),
    };
    ensure!(file.is_file(), "there is no gateway at {}: {HOW}", file.display());
    Ok(file)
}

/// The command line of a program, each word as text.
pub(crate) fn node(script: &Path) -> Result<Vec<String>> {
    Ok(vec![text(&folder()?.join("bin/node"))?, text(script)?])
}

/// The start script of an npm package among the parts.
pub(crate) fn npm_script(package: &str) -> Result<PathBuf> {
    Ok(folder()?.join("npm/node_modules").join(package).join("dist/index.js"))
}

pub(crate) fn python() -> Result<String> {
    text(&folder()?.join("python/bin/python"))
}

/// One of our own client scripts.
pub(crate) fn client_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

pub(crate) fn text(path: &Path) -> Result<String> {
    Ok(path
        .to_str()
        .with_context(|| format!("{} is not text", path.display()))?
        .to_owned())
}
