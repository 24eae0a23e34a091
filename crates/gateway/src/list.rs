//! `tools/list`: the lists of all servers, fetched at once, merged, sorted and paged.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use portolan_core::{Error, Result};
use portolan_wire::{
    era::Era,
    error::ErrorObject,
    object::{self, RawObject},
};

use crate::{
    reply::FAILURE_KEY,
    seal::Purpose,
    service::Inner,
    table::{Mount, Mounted},
    visit::Visit,
};

/// A tool on a list: its name towards clients, and its definition.
type Listed = (Box<str>, Bytes);

impl Inner {
    /// The `result` of `tools/list`.
    pub(crate) async fn list_tools(&self, visit: &Visit, era: Era, params: &RawObject) -> Result<Bytes, ErrorObject> {
        let after = match params.get("cursor") {
            None => None,
            Some(raw) => Some(self.open_cursor(visit, raw)?),
        };
        let (mut tools, failures) = self.merged(visit).await;
        if let Some(after) = after {
            tools.retain(|(name, _)| **name > *after);
        }
        let page = self.config.limits.page.max(1);
        let next = match tools.get(page) {
            None => None,
            Some(_) => {
                tools.truncate(page);
                tools
                    .last()
                    .map(|(name, _)| self.seal_cursor(visit, name))
                    .transpose()?
            }
        };
        Ok(self.render(era, &tools, next, &failures))
    }

    /// All tools that the caller may see, sorted by name, and the servers whose lists could not be had.
    async fn merged(&self, visit: &Visit) -> (Vec<Listed>, Vec<(String, Error)>) {
        let reachable = visit
            .gateway
            .mounts()
            .iter()
            .filter_map(|mount| Some((mount, mount.resolve(&visit.caller)?)));
        let fetched = join_all(
            reachable.map(|(mount, mounted)| async move { (mount, self.tools_of(visit, mount, mounted).await) }),
        );
        let (mut tools, mut failures) = (Vec::new(), Vec::new());
        for (mount, listed) in fetched.await {
            match listed {
                Ok(listed) => tools.extend(listed),
                Err(error) => {
                    tracing::warn!(server = %mount.server.name, %error, "a server's tools are left out of a list");
                    failures.push((mount.server.name.to_string(), error));
                }
            }
        }
        // Servers come sorted by name and the sort is stable, so of two tools with one name the first server's stays.
        tools.sort_by(|a, b| a.0.cmp(&b.0));
        tools.dedup_by(|later, earlier| later.0 == earlier.0);
        (tools, failures)
    }

    async fn tools_of(&self, visit: &Visit, mount: &Mount, mounted: &Mounted) -> Result<Vec<Listed>> {
        let credential = self
            .broker
            .credential(&visit.caller, &mount.server, &mounted.install)
            .await?;
        let tools = mounted.upstream.tools(&credential).await?;
        let naming = visit.gateway.spec.naming;
        let allowed = tools.iter().filter(|tool| self.allows(visit, mount, mounted, tool));
        Ok(allowed
            .map(|tool| (tool.name(naming).into(), tool.definition(naming).clone()))
            .collect())
    }

    fn render(&self, era: Era, tools: &[Listed], next: Option<String>, failures: &[(String, Error)]) -> Bytes {
        let mut list = BytesMut::with_capacity(tools.iter().map(|(_, tool)| tool.len() + 1).sum::<usize>() + 2);
        list.put_u8(b'[');
        for (at, (_, definition)) in tools.iter().enumerate() {
            if at > 0 {
                list.put_u8(b',');
            }
            list.put_slice(definition);
        }
        list.put_u8(b']');
        let mut result = RawObject::new();
        if era == Era::Modern {
            result.set("resultType", Bytes::from_static(b"\"complete\""));
            // No change stream stands behind this list, and it depends on who asks.
            result.set("ttlMs", Bytes::from_static(b"0"));
            result.set("cacheScope", Bytes::from_static(b"\"private\""));
        }
        result.set("tools", list.freeze());
        if let Some(next) = next {
            result.set("nextCursor", object::quote(&next));
        }
        let meta = self.list_meta(era, failures);
        if !meta.is_empty() {
            result.set("_meta", meta.to_bytes());
        }
        result.to_bytes()
    }

    /// Why a list is not whole, by server.
    fn list_meta(&self, era: Era, failures: &[(String, Error)]) -> RawObject {
        let mut meta = RawObject::new();
        if era == Era::Modern {
            meta.set(portolan_wire::meta::SERVER_INFO, self.server_info());
        }
        if !failures.is_empty() {
            let mut reasons = RawObject::new();
            for (server, error) in failures {
                reasons.set(server, object::quote(&error.to_string()));
            }
            meta.set(FAILURE_KEY, reasons.to_bytes());
        }
        meta
    }

    /// A cursor says after which name to go on, so it stays good while tools come and go.
    fn seal_cursor(&self, visit: &Visit, name: &str) -> Result<String, ErrorObject> {
        let payload = format!("{}\n{name}", visit.gateway.spec.name);
        self.keys
            .seal(Purpose::Cursor, payload.as_bytes())
            .map_err(|error| crate::reply::error_object(&error))
    }

    fn open_cursor(&self, visit: &Visit, raw: &Bytes) -> Result<String, ErrorObject> {
        let payload = object::text(raw).and_then(|cursor| self.keys.open(Purpose::Cursor, &cursor));
        let payload = payload.and_then(|payload| String::from_utf8(payload).ok());
        payload
            .as_deref()
            .and_then(|payload| payload.split_once('\n'))
            .filter(|(gateway, _)| *gateway == visit.gateway.spec.name.as_str())
            .map(|(_, name)| name.to_owned())
            .ok_or_else(|| ErrorObject::invalid_params("the cursor is not one that this gateway gave"))
    }
}
