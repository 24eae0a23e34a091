//! Converts a client's request for a server: the members of `_meta`.

use std::borrow::Cow;

use bytes::Bytes;
use portolan_wire::{
    era::Era,
    id::RequestId,
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};

use crate::{
    capabilities::with_extensions,
    client_meta::modern_meta,
    request::{Requester, UpstreamRequest},
};

/// Returns the `_meta` for a legacy server: without the keys of modern ones. `None` if nothing is left.
pub(crate) fn legacy_meta(meta: &Bytes) -> Option<Bytes> {
    use portolan_wire::meta as key;
    let mut members = RawObject::parse(meta).ok()?;
    for modern in [
        key::PROTOCOL_VERSION,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        key::LOG_LEVEL,
    ] {
        members.remove(modern);
    }
    (!members.is_empty()).then(|| members.to_bytes())
}

/// Returns the capabilities that a modern server is told for `request`.
pub fn client_capabilities(request: &UpstreamRequest<'_>) -> Bytes {
    use portolan_wire::meta::{CLIENT_CAPABILITIES, META};
    let said = || {
        let meta = RawObject::parse_checked(request.params.get(META)?).ok()?;
        meta.get(CLIENT_CAPABILITIES).cloned()
    };
    let own = match request.requester.era() {
        Some(Era::Modern) => said(),
        _ => None,
    };
    let declared = request.declared.cloned().or(own);
    declared.unwrap_or_else(|| {
        let own = match request.requester.era() {
            Some(Era::Legacy) => request.extensions(),
            _ => None,
        };
        with_extensions(request.capabilities.to_json(), own.as_ref())
    })
}

/// Returns the params of `request` for a server of era `upstream`: unchanged if the eras are the same.
pub(crate) fn params<'a>(request: &'a UpstreamRequest<'_>, upstream: Era, name: &str) -> Cow<'a, RawObject> {
    use portolan_wire::meta::META;
    let client = request.requester.era();
    if client == Some(upstream) && (client == Some(Era::Legacy) || request.declared.is_none()) {
        return Cow::Borrowed(request.params);
    }
    let mut params = request.params.clone();
    match upstream {
        Era::Modern => {
            let meta = modern_meta(params.get(META), client_capabilities(request), name);
            params.set(META, meta);
            if let Requester::Legacy { conversation, .. } = &request.requester
                && let Some(level) = conversation.level()
            {
                ask_for_logs(&mut params, level);
            }
        }
        Era::Legacy => match params.get(META).map(legacy_meta) {
            Some(Some(meta)) => {
                params.set(META, meta);
            }
            _ => {
                params.remove(META);
            }
        },
    }
    if client == Some(Era::Modern) && upstream == Era::Legacy {
        params.remove("inputResponses");
        params.remove("requestState");
        if *request.method == Method::ToolsCall {
            params.remove("task");
            if let Some(task) = request.tasks.as_ref().and_then(|tasks| tasks.augmentation()) {
                params.set("task", task);
            }
        }
    }
    Cow::Owned(params)
}

/// Replaces the progress token by the id of the request, and returns the token.
pub(crate) fn own_token(params: &mut RawObject, id: &RequestId) -> Option<Bytes> {
    use portolan_wire::meta::{META, PROGRESS_TOKEN};
    let mut members = RawObject::parse_checked(params.get(META)?).ok()?;
    let token = members.get(PROGRESS_TOKEN)?.clone();
    members.set(PROGRESS_TOKEN, id.to_bytes());
    params.set(META, members.to_bytes());
    Some(token)
}

/// Asks a modern server for log messages from `level` on during this request, unless the request does so itself.
pub(crate) fn ask_for_logs(params: &mut RawObject, level: LogLevel) {
    use portolan_wire::meta::{LOG_LEVEL, META};
    let mut members = params
        .get(META)
        .and_then(|raw| RawObject::parse(raw).ok())
        .unwrap_or_default();
    if !members.contains(LOG_LEVEL) {
        members.set(LOG_LEVEL, object::quote(level.as_str()));
        params.set(META, members.to_bytes());
    }
}
