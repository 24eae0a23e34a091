//! Host and Origin checks against DNS rebinding and cross-site requests.
//!
//! Source: 2026-07-28 basic/transports "Security Warning". A hostile page can make a browser send requests to a name
//! that it controls and that resolves to this machine.

use http::{HeaderMap, StatusCode, header, request::Parts, uri::Authority};

use crate::{
    config::{GatewayConfig, Hosts},
    reply::Rejection,
};

/// Rejects requests for a host, or from an origin, that is not configured.
pub(crate) fn check(config: &GatewayConfig, parts: &Parts) -> Result<(), Rejection> {
    if config.hosts != Hosts::Any {
        let host = host(parts).ok_or_else(|| forbidden("the request names no host"))?;
        if !config.allows_host(host) {
            return Err(forbidden(
                "this host name is not served; add it to GatewayConfig::hosts",
            ));
        }
    }
    match single(&parts.headers, &header::ORIGIN)? {
        Some(origin) if !config.allows_origin(origin) => Err(forbidden(
            "this origin is not allowed; add it to GatewayConfig::origins",
        )),
        _ => Ok(()),
    }
}

impl GatewayConfig {
    fn allows_host(&self, host: &str) -> bool {
        let is_loopback = host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]");
        match &self.hosts {
            Hosts::Any => true,
            Hosts::Loopback => is_loopback,
            Hosts::Only(names) => is_loopback || names.iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }

    fn allows_origin(&self, origin: &str) -> bool {
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .and_then(|rest| rest.parse::<Authority>().ok());
        // With `Hosts::Any`, hosts say nothing about origins: only listed origins pass.
        self.hosts != Hosts::Any && host.is_some_and(|authority| self.allows_host(authority.host()))
    }
}

/// Returns the host of the request, without its port.
fn host(parts: &Parts) -> Option<&str> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.host());
    }
    let value = single(&parts.headers, &header::HOST).ok()??;
    let Some(colon) = value.rfind(':').filter(|colon| !value[*colon..].contains(']')) else {
        return Some(value);
    };
    // What follows is a port, or this is no host.
    let (host, port) = (&value[..colon], &value[colon + 1..]);
    (port.is_empty() || port.parse::<u16>().is_ok() && port.bytes().all(|digit| digit.is_ascii_digit())).then_some(host)
}

fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str());
    match (value, values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(forbidden("the host or origin header is repeated or not ASCII")),
    }
}

fn forbidden(problem: &'static str) -> Rejection {
    Rejection::http(StatusCode::FORBIDDEN, problem)
}
