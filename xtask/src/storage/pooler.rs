//! A PgBouncer in transaction mode, with two server connections for each database.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{free_port, tail, user::User};
use crate::tools::pgbouncer::Program;

const LIMIT: Duration = Duration::from_secs(15);

/// A running pooler, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Pooler {
    child: Child,
    address: String,
}

impl Pooler {
    /// Starts `program` before the server at `address`.
    pub(super) fn start(name: &str, program: &Program, address: &str, folder: &Path, user: &User) -> Result<Self> {
        let server = Parts::read(address).context("the database's address cannot be read")?;
        let port = free_port()?;
        let (file, log) = (folder.join(format!("{name}.ini")), folder.join(format!("{name}.log")));
        fs::write(&file, server.configuration(port))?;
        user.own(&file)?;
        let output = File::create(&log)?;
        let mut command = user.command(program.command());
        command
            .args(program.arguments())
            .arg(&file)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = command.spawn()?;
        let address = format!("postgres://{}@127.0.0.1:{port}/{}", server.user, server.database);
        let mut pooler = Self { child, address };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let runs = pooler.child.try_wait()?.is_none();
            ensure!(
                runs && start.elapsed() < LIMIT,
                "PgBouncer does not start:\n{}",
                tail(&log)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The parts of `postgres://user:password@host:port/database`.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    user: &'a str,
    password: Option<&'a str>,
    host: &'a str,
    port: &'a str,
    database: &'a str,
}

impl<'a> Parts<'a> {
    fn read(address: &'a str) -> Option<Self> {
        let rest = address.split_once("://")?.1;
        let (login, rest) = rest.rsplit_once('@')?;
        let (place, database) = rest.split_once('/')?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "5432"));
        let database = database.split('?').next()?;
        Some(Self {
            user,
            password,
            host,
            port,
            database,
        })
    }

    fn configuration(&self, port: u16) -> String {
        let Self { user, host, .. } = self;
        let password = self
            .password
            .map_or_else(String::new, |text| format!(" password={text}"));
        format!(
            "[databases]\n* = host={host} port={} user={user}{password}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n\
             max_client_conn = 500\n",
            self.port
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read() {
        let parts = Parts::read("postgres://u:p@db:6000/d?sslmode=disable").expect("an address");
        let wanted = Parts {
            user: "u",
            password: Some("p"),
            host: "db",
            port: "6000",
            database: "d",
        };
        assert_eq!(parts, wanted);
        let parts = Parts::read("postgres://u@db/d").expect("an address");
        assert_eq!((parts.password, parts.port), (None, "5432"));
    }
}
