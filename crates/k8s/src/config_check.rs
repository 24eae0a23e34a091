//! Checks of a configuration, by rendering a sample server.

use portolan_core::{Error, Result, ServerSpec};

use crate::{config::KubeConfig, render};

impl KubeConfig {
    /// Checks the names, CIDRs and quantities that the cluster would refuse for every server.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with the name of the first invalid field.
    pub fn check(&self) -> Result<()> {
        check_label("field_manager", &self.field_manager)?;
        let mut server = ServerSpec::command("sample", "sample", [""])?;
        for name in std::iter::once(None).chain(self.environments.keys().map(Some)) {
            server.kubernetes.environment = name.cloned();
            check_label("namespace", &self.environment(name.map(String::as_str))?.namespace)?;
            render::check(&server, self)?;
        }
        Ok(())
    }
}

/// Checks that `text` is a valid namespace name, and so can be part of other names.
pub(crate) fn check_label(field: &str, text: &str) -> Result<()> {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    let is_valid = bytes.len() <= 63
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    if is_valid {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("{text:?} is not a valid name; use 1 to 63 of a-z, 0-9 and '-', with no '-' at either end"),
    ))
}
