//! The source of a server: a URL, a program or an image.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Error, Result};

/// The source of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// A server that runs elsewhere and is reached by streamable HTTP.
    Remote {
        /// The URL of the MCP endpoint.
        url: Url,
    },
    /// A program that the runtime starts: as a child process on one machine, or in the base image in a cluster.
    Command {
        /// The program: a path, or a name in the runtime's search path. No shell is involved.
        program: String,
        /// The arguments, each passed on unchanged.
        args: Vec<String>,
        /// The transport.
        transport: Transport,
    },
    /// A container image.
    Image {
        /// The image reference.
        image: String,
        /// Replaces the image's entry point.
        program: Option<String>,
        /// Replaces the image's arguments, when not empty.
        args: Vec<String>,
        /// The transport.
        transport: Transport,
    },
}

/// The transport of a self-hosted server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// Lines on standard input and output.
    #[default]
    Stdio,
    /// Streamable HTTP on a port of the server.
    Http {
        /// The port.
        port: u16,
        /// The path of the MCP endpoint, beginning with `/`.
        path: String,
    },
}

impl Source {
    /// Checks the URL, the program or the image.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Remote { url } if !matches!(url.scheme(), "http" | "https") || !url.has_host() => Err(
                Error::invalid("server url", format!("{:?} is not an http or https URL", url.scheme())),
            ),
            Self::Remote { url } if !url.username().is_empty() || url.password().is_some() => Err(Error::invalid(
                "server url",
                "holds a user name or password; give it as a field with Delivery::Header instead",
            )),
            Self::Command { program, .. } if program.trim().is_empty() => {
                Err(Error::invalid("program", "is empty; name the program to run"))
            }
            Self::Image { image, .. } if image.trim().is_empty() => {
                Err(Error::invalid("image", "is empty; name the image to run"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the transport of a self-hosted server; `None` for a remote one.
    pub fn transport(&self) -> Option<&Transport> {
        match self {
            Self::Remote { .. } => None,
            Self::Command { transport, .. } | Self::Image { transport, .. } => Some(transport),
        }
    }
}
