//! The URL of a database: what it may say, and the rule for TLS.

use std::net::IpAddr;

use portolan_core::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::config::TlsRule;

/// The port where the URL names none.
const PORT: u16 = 5432;

/// Where a database is, and how to connect to it.
pub(super) struct Address {
    /// Host, port and database, for messages.
    pub(super) place: String,
    pub(super) options: PgConnectOptions,
}

/// What a URL says.
#[derive(Default)]
struct Parts {
    host: String,
    port: Option<u16>,
    user: String,
    password: String,
    database: String,
    ssl_mode: Option<PgSslMode>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    application: Option<String>,
}

/// Returns `true` if `text` is the URL of a PostgreSQL database.
pub(crate) fn is_address(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Reads a URL. No error shows a part of it but the name of a parameter, for there is a password in it.
pub(super) fn parse(url: &str, rule: TlsRule) -> Result<Address> {
    let parts = Parts::read(url)?;
    let mode = parts.tls(rule)?;
    let port = parts.port.unwrap_or(PORT);
    let place = format!("postgres://{}:{port}/{}", parts.host, parts.database);

    // Everything is set, because sqlx takes what is not from the environment.
    let options = PgConnectOptions::new_without_pgpass().port(port).ssl_mode(mode);
    let mut options = match parts.host.starts_with('/') {
        true => options.socket(&parts.host),
        false => options.host(&parts.host),
    };
    options = options
        .username(&parts.user)
        .password(&parts.password)
        .database(&parts.database)
        .application_name(parts.application.as_deref().unwrap_or("portolan"));
    if let Some(file) = &parts.root {
        options = options.ssl_root_cert(file);
    }
    if let Some(file) = &parts.certificate {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = &parts.key {
        options = options.ssl_client_key(file);
    }
    Ok(Address { place, options })
}

impl Parts {
    fn read(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|error| {
            refuse(format!(
                "is no URL ({error}); write postgres://user:password@host:port/database, with %XX for special characters"
            ))
        })?;
        if url.fragment().is_some() {
            return Err(refuse("has a #; write %23 for one in a password"));
        }
        let mut parts = Self {
            host: decoded(url.host_str().unwrap_or_default())?,
            port: url.port(),
            user: decoded(url.username())?,
            password: decoded(url.password().unwrap_or_default())?,
            database: decoded(url.path().trim_start_matches('/'))?,
            ..Self::default()
        };
        for (name, value) in url.query_pairs() {
            parts.parameter(&name, value.into_owned())?;
        }
        // The brackets of an IPv6 address belong to the URL.
        if let Some(inner) = parts.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            parts.host = inner.to_owned();
        }
        parts.check()
    }

    fn parameter(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "host" => self.host = value,
            "port" => self.port = Some(value.parse().map_err(|_| refuse("has a port that is no number"))?),
            "user" => self.user = value,
            "password" => self.password = value,
            "dbname" => self.database = value,
            "sslmode" => {
                let mode = value.parse().map_err(|_| {
                    refuse("has an unknown sslmode; use disable, prefer, require, verify-ca or verify-full")
                })?;
                self.ssl_mode = Some(mode);
            }
            "sslrootcert" => self.root = Some(value),
            "sslcert" => self.certificate = Some(value),
            "sslkey" => self.key = Some(value),
            "application_name" => self.application = Some(value),
            _ => {
                return Err(refuse(format!(
                    "has the parameter {name:?}, which would be ignored; leave it out (known are host, port, user, \
                     password, dbname, sslmode, sslrootcert, sslcert, sslkey and application_name)"
                )));
            }
        }
        Ok(())
    }

    fn check(self) -> Result<Self> {
        if self.host.is_empty() {
            return Err(refuse("names no host; for a Unix socket add ?host=/directory"));
        }
        if self.host.contains(',') {
            return Err(refuse("names several hosts; name one, or a proxy before them"));
        }
        if self.user.is_empty() {
            return Err(refuse("names no user"));
        }
        if self.database.is_empty() {
            return Err(refuse("names no database"));
        }
        Ok(self)
    }

    /// Returns how TLS is used. Outside of this machine, the server's certificate and name are checked unless the host
    /// of the store says otherwise.
    fn tls(&self, rule: TlsRule) -> Result<PgSslMode> {
        let local = self.is_local();
        let mode = self.ssl_mode.unwrap_or(match local {
            true => PgSslMode::Prefer,
            false => PgSslMode::VerifyFull,
        });
        if local || rule == TlsRule::AsUrlSays || matches!(mode, PgSslMode::VerifyFull) {
            return Ok(mode);
        }
        Err(refuse(
            "asks for less than sslmode=verify-full, so that anybody on the way could pose as the server; leave sslmode \
             out and name the authority with sslrootcert, or allow it with TlsRule::AsUrlSays",
        ))
    }

    fn is_local(&self) -> bool {
        self.host.starts_with('/')
            || self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn refuse(problem: impl Into<String>) -> Error {
    Error::invalid("database URL", problem)
}

/// Decodes `%XX`.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits: Option<(u8, u8)> = rest.next().zip(rest.next());
        let value = digits.and_then(|(high, low)| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        });
        bytes.push(value.ok_or_else(|| refuse("has a % that is not followed by two hexadecimal digits"))?);
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 once decoded"))?;
    match text.contains('\0') {
        true => Err(refuse("holds a NUL")),
        false => Ok(text),
    }
}

#[cfg(test)]
#[path = "address/tests.rs"]
mod tests;
