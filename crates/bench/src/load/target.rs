//! The endpoint under load.

use std::net::SocketAddr;

use crate::Result;

/// An endpoint under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) token: String,
}

impl Target {
    /// Parses a URL of the form `http://IP:PORT/PATH`.
    pub(crate) fn parse(url: &str, token: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("not an http URL: {url}"))?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address.parse().map_err(|_| format!("not an address and port: {url}"))?;
        Ok(Self {
            address,
            path: format!("/{path}"),
            token: token.to_owned(),
        })
    }
}
