//! Queries of stored audit records, page by page.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use portolan_core::{Error, GatewayName, Result, ServerName, Subject};

use super::AuditRecord;
use crate::rows::AuditFilter;

/// The most records of a page.
const MAX_PAGE: usize = 500;

/// A query of audit records, newest first.
///
/// ```
/// use portolan_core::{GatewayName, Subject};
/// use portolan_storage_sql::AuditQuery;
///
/// let since = "2026-07-28T00:00:00Z".parse().expect("a time");
/// let query = AuditQuery::new().since(since).with_caller(&Subject::Org).with_gateway(&GatewayName::parse("default")?);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct AuditQuery {
    since: Timestamp,
    until: Timestamp,
    gateway: Option<String>,
    caller: Option<String>,
    server: Option<String>,
    after: Option<AuditCursor>,
    limit: usize,
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self::new()
    }
}

impl AuditQuery {
    /// Creates a query of the newest 100 records of all.
    pub fn new() -> Self {
        Self {
            since: Timestamp::MIN,
            until: Timestamp::MAX,
            gateway: None,
            caller: None,
            server: None,
            after: None,
            limit: 100,
        }
    }

    /// Leaves out records before a time.
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = since;
        self
    }

    /// Leaves out records at and after a time.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = until;
        self
    }

    /// Leaves out records about other gateways.
    pub fn with_gateway(mut self, gateway: &GatewayName) -> Self {
        self.gateway = Some(gateway.to_string());
        self
    }

    /// Leaves out records about other callers.
    pub fn with_caller(mut self, caller: &Subject) -> Self {
        self.caller = Some(caller.to_string());
        self
    }

    /// Leaves out records about other servers.
    pub fn with_server(mut self, server: &ServerName) -> Self {
        self.server = Some(server.to_string());
        self
    }

    /// Continues after an earlier page: see [`AuditPage::next`].
    pub fn after(mut self, cursor: AuditCursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Sets the most records of the page, 1 to 500. Default: 100.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MAX_PAGE);
        self
    }

    pub(super) fn filter(&self) -> AuditFilter {
        AuditFilter {
            from: self.since.as_microsecond(),
            until: self.until.as_microsecond(),
            gateway: self.gateway.clone(),
            caller: self.caller.clone(),
            server: self.server.clone(),
            before: self.after.map_or((i64::MAX, i64::MAX), |cursor| (cursor.at, cursor.id)),
            limit: i64::try_from(self.limit).unwrap_or(i64::MAX),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }
}

/// A page of audit records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The records, newest first.
    pub records: Vec<AuditRecord>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<AuditCursor>,
}

/// The place of a record among all. Its text form is for URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    pub(super) at: i64,
    pub(super) id: i64,
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.at, self.id)
    }
}

impl FromStr for AuditCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text
            .split_once('_')
            .and_then(|(at, id)| at.parse().ok().zip(id.parse().ok()));
        let (at, id) = numbers.ok_or_else(|| Error::invalid("audit cursor", "is not one of a page"))?;
        Ok(Self { at, id })
    }
}
