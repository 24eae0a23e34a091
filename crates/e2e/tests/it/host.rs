//! The servers of which every feature is used.

use anyhow::Result;
use portolan_fixtures::everything::{Eras, Everything, Options};
use tokio::process::Child;

use crate::rmcp_server::RmcpServer;
use crate::server::{Target, everything, everything_over_http};

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    FixtureLegacy,
    FixtureModern,
    /// Both eras at one address.
    Rmcp,
    /// The npm package `server-everything`, which is legacy.
    NpmHttp,
    NpmStdio,
}

/// A running server, which ends with this.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) target: Target,
    held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "what is held ends with it")]
enum Held {
    Fixture(Everything),
    Rmcp(RmcpServer),
    Process(Child),
    Nothing,
}

impl Started {
    /// How many calls have been given up at our fixture.
    pub(crate) fn cancelled(&self) -> u64 {
        match &self.held {
            Held::Fixture(server) => server.cancelled(),
            _ => 0,
        }
    }
}

impl Host {
    /// Starts the server, with fresh state of its own.
    pub(crate) async fn start(self) -> Result<Started> {
        let (url, held) = match self {
            Self::FixtureLegacy => fixture(Eras::Legacy).await?,
            Self::FixtureModern => fixture(Eras::Modern).await?,
            Self::Rmcp => {
                let server = RmcpServer::start().await?;
                (server.url(), Held::Rmcp(server))
            }
            Self::NpmHttp => {
                let (process, url) = everything_over_http().await?;
                (url, Held::Process(process))
            }
            Self::NpmStdio => {
                let target = Target::Stdio(everything("stdio")?);
                return Ok(Started {
                    target,
                    held: Held::Nothing,
                });
            }
        };
        let token = String::new();
        Ok(Started {
            target: Target::Http { url, token },
            held,
        })
    }
}

async fn fixture(eras: Eras) -> Result<(String, Held)> {
    let server = Everything::start(Options {
        eras,
        // Lists come in pages.
        page: Some(3),
        ..Options::default()
    });
    let server = server.await?;
    Ok((server.url(), Held::Fixture(server)))
}
