//! The MCP handshake with a server, once for each run.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{
    ChannelRequest, Error, Exchange, Failure, FailureKind, RpcResponse, ServerHandshake, ServerRequestPolicy,
};
use portolan_wire::{
    envelope,
    era::{Era, Probe, ProtocolVersion, judge_stdio_probe},
    error::ErrorObject,
    id::RequestId,
    meta::{CLIENT_CAPABILITIES, CLIENT_INFO, META, PROTOCOL_VERSION, SERVER_INFO},
    object::{self, RawObject},
};
use tokio::time::{Instant, timeout};

use super::dispatcher::{CallError, CallRef, RpcDispatcher};

/// The `clientInfo` that is sent to servers.
const CLIENT_INFO_JSON: &str = concat!(r#"{"name":"portolan","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Which of the two handshakes are tried, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeOrder {
    /// The modern probe, then the legacy handshake where that fails.
    ProbeFirst,
    /// The legacy handshake, then the modern probe: for a server that once exited during the probe.
    LegacyFirst,
    /// The modern one alone.
    Modern,
    /// The legacy one alone.
    Legacy,
}

/// Performs the handshake over the dispatcher of a new run.
pub(crate) struct Handshake<'a> {
    pub(crate) dispatcher: &'a Arc<RpcDispatcher>,
    /// Declared to a legacy server as client capabilities. A modern one receives them with each call.
    pub(crate) server_requests: ServerRequestPolicy,
    /// How long the probe is awaited before the legacy handshake is sent beside it.
    pub(crate) probe_patience: Duration,
    pub(crate) deadline: Instant,
}

impl Handshake<'_> {
    pub(crate) async fn run(&self, order: HandshakeOrder) -> Result<ServerHandshake, Failure> {
        match order {
            HandshakeOrder::Modern => self.discover().await?.ok_or_else(|| {
                protocol_failure("the server does not speak a modern version of MCP")
                    .remedy("pin it to legacy, or to none")
            }),
            HandshakeOrder::Legacy => self.initialize().await,
            HandshakeOrder::ProbeFirst => self.probe().await,
            HandshakeOrder::LegacyFirst => match self.initialize().await {
                Err(failure) if failure.kind == FailureKind::Protocol => self.discover().await?.ok_or(failure),
                other => other,
            },
        }
    }

    /// Sends the probe, and the legacy handshake after it fails. If the probe stays unanswered for long, both are
    /// outstanding and the first to succeed decides.
    async fn probe(&self) -> Result<ServerHandshake, Failure> {
        let discover = self.discover();
        tokio::pin!(discover);
        match timeout(self.probe_patience, &mut discover).await {
            Ok(Ok(Some(handshake))) => return Ok(handshake),
            Ok(Ok(None)) => return self.initialize().await,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => {}
        }
        let initialize = self.initialize();
        tokio::pin!(initialize);
        tokio::select! {
            biased;
            discovered = &mut discover => match discovered? {
                Some(handshake) => Ok(handshake),
                None => initialize.await,
            },
            initialized = &mut initialize => match initialized {
                Err(failure) if failure.kind == FailureKind::Protocol => discover.await?.ok_or(failure),
                other => other,
            },
        }
    }

    /// Returns `None` if the server is not modern.
    async fn discover(&self) -> Result<Option<ServerHandshake>, Failure> {
        let version = ProtocolVersion::NEWEST.as_str();
        let params = format!(
            r#"{{"{META}":{{"{PROTOCOL_VERSION}":"{version}","{CLIENT_CAPABILITIES}":{{}},"{CLIENT_INFO}":{CLIENT_INFO_JSON}}}}}"#
        );
        let answer = self.request("server/discover", params).await?;
        match judge(&answer) {
            Probe::Modern { supported, discovered } => {
                let known = supported.iter().filter_map(|named| named.known());
                let newest = known.filter(|version| version.era() == Era::Modern).max();
                match newest {
                    Some(version) => modern(version, discovered.as_ref()).map(Some),
                    // An error that only a modern server sends, or one without a list of versions.
                    None if supported.is_empty() => modern(ProtocolVersion::NEWEST, discovered.as_ref()).map(Some),
                    None if supported.iter().any(|named| named.is_modern()) => {
                        let versions: Vec<_> = supported.iter().map(|named| named.as_str()).collect();
                        Err(protocol_failure(format!(
                            "the server speaks only MCP {}",
                            versions.join(", ")
                        )))
                    }
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    async fn initialize(&self) -> Result<ServerHandshake, Failure> {
        let version = ProtocolVersion::NEWEST_LEGACY.as_str();
        let capabilities = capabilities(self.server_requests);
        let params = format!(
            r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{CLIENT_INFO_JSON}}}"#
        );
        let raw = match self.request("initialize", params).await? {
            RpcResponse::Result(raw) => raw,
            RpcResponse::Error(raw) => {
                let message = ErrorObject::parse(&raw).map_or_else(String::new, |error| format!(": {error}"));
                return Err(protocol_failure(format!("the server refused to initialize{message}")));
            }
        };
        let handshake =
            legacy(&raw).ok_or_else(|| protocol_failure("the server's response to initialize is not one of MCP"))?;
        let initialized = portolan_wire::method::Method::Initialized;
        self.dispatcher.send_line(envelope::notification(&initialized, None));
        Ok(handshake)
    }

    async fn request(&self, method: &str, params: String) -> Result<RpcResponse, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let request = ChannelRequest::new(method, Some(params.into()), left);
        let exchange = match self.dispatcher.handshake(&request, self.deadline) {
            Ok(dispatched) => Exchange::new(dispatched.events, CallRef::cancelled_on_drop(dispatched.handle)),
            Err(CallError::Closed(failure)) => return Err(failure),
            Err(CallError::Error(error)) => return Err(protocol_failure(error.to_string())),
        };
        exchange.answer().await.map_err(|error| match error {
            Error::NotReady { failure, .. } => failure,
            Error::Timeout { .. } => Failure::new(FailureKind::Timeout, "the handshake timed out")
                .remedy("see that it speaks MCP on its standard output, or raise the start deadline"),
            other => protocol_failure(other.to_string()),
        })
    }
}

/// Returns the client capabilities for these server requests, as JSON, and no others.
fn capabilities(server_requests: ServerRequestPolicy) -> String {
    let parts = [
        (server_requests.elicitation, r#""elicitation":{"form":{},"url":{}}"#),
        (server_requests.sampling, r#""sampling":{}"#),
        (server_requests.roots, r#""roots":{}"#),
    ];
    let allowed: Vec<_> = parts.iter().filter(|(on, _)| *on).map(|(_, text)| *text).collect();
    format!("{{{}}}", allowed.join(","))
}

fn judge(answer: &RpcResponse) -> Probe {
    let id = RequestId::from_u64(0);
    let message = match answer {
        RpcResponse::Result(raw) => envelope::result(&id, raw),
        RpcResponse::Error(raw) => match ErrorObject::parse(raw) {
            Some(error) => envelope::error(Some(&id), &error),
            None => return Probe::Legacy,
        },
    };
    judge_stdio_probe(&message).unwrap_or(Probe::Legacy)
}

fn modern(version: ProtocolVersion, discovered: Option<&Bytes>) -> Result<ServerHandshake, Failure> {
    let Some(raw) = discovered else {
        return Ok(ServerHandshake::new(true, version.as_str(), Bytes::from_static(b"{}")));
    };
    let result =
        RawObject::parse(raw).map_err(|error| protocol_failure(format!("the discovery cannot be read: {error}")))?;
    let mut handshake = handshake_of(true, version.as_str(), &result);
    let meta = result.get(META).and_then(|meta| RawObject::parse(meta).ok());
    handshake.server_info = meta.and_then(|meta| meta.get(SERVER_INFO).cloned());
    Ok(handshake)
}

fn legacy(raw: &Bytes) -> Option<ServerHandshake> {
    let result = RawObject::parse(raw).ok()?;
    let version = result.get("protocolVersion").and_then(object::text)?.into_owned();
    let mut handshake = handshake_of(false, &version, &result);
    handshake.server_info = result.get("serverInfo").cloned();
    Some(handshake)
}

fn handshake_of(is_modern: bool, version: &str, result: &RawObject) -> ServerHandshake {
    let capabilities = result.get("capabilities").cloned();
    let mut handshake = ServerHandshake::new(
        is_modern,
        version,
        capabilities.unwrap_or_else(|| Bytes::from_static(b"{}")),
    );
    handshake.instructions = result.get("instructions").and_then(object::text).map(Into::into);
    handshake
}

fn protocol_failure(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}
