//! The servers of the storage tests: a private PostgreSQL, and two poolers before it.

mod pooler;
mod server;
mod user;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::env;
use crate::tools::{pgbouncer, postgres};
use pooler::Pooler;
use server::Server;
use user::User;

/// The servers, which end when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    // In this order: the poolers first, then the server, then their folder.
    old: Pooler,
    new: Pooler,
    address: String,
    programs: PathBuf,
    _server: Option<Server>,
    _folder: Folder,
}

impl Servers {
    /// Starts them. `TEST_DATABASE_URL` takes the place of the private server, as a superuser of one for tests.
    pub(crate) fn start() -> Result<Self> {
        let programs = postgres::programs().context("there is no PostgreSQL to test on")?;
        let (old, new) = (pgbouncer::old()?, pgbouncer::new()?);
        let user = User::unprivileged()?;
        let folder = Folder::make(&user)?;
        let (server, address) = match env::test_database_url() {
            Some(url) => (None, url),
            None => {
                let server = Server::start(&programs, &folder.0, &user)?;
                let address = server.address();
                (Some(server), address)
            }
        };
        Ok(Self {
            old: Pooler::start(
                "old",
                &old.copy(&folder.0.join("pgbouncer-old"))?,
                &address,
                &folder.0,
                &user,
            )?,
            new: Pooler::start(
                "new",
                &new.copy(&folder.0.join("pgbouncer-new"))?,
                &address,
                &folder.0,
                &user,
            )?,
            address,
            programs,
            _server: server,
            _folder: folder,
        })
    }

    /// Returns the URL of the server.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the environment that tells the tests where the servers are.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("PORTOLAN_POSTGRES", self.address.clone()),
            ("PORTOLAN_PGBOUNCER_OLD", self.old.address().to_owned()),
            ("PORTOLAN_PGBOUNCER_NEW", self.new.address().to_owned()),
            // Tests that restart a server make their own.
            ("PORTOLAN_POSTGRES_PROGRAMS", self.programs.display().to_string()),
        ]
    }
}

/// A temporary folder that goes when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make(user: &User) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("portolan-storage-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let folder = Self(path);
        user.own(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a port of loopback that is free now.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

/// Returns the end of a log, for an error.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
