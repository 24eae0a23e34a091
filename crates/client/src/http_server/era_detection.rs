//! Asks a server for its eras (2026-07-28, basic/versioning).

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use portolan_core::{Failure, FailureKind, Result, UpstreamCredential};
use portolan_wire::{
    envelope,
    era::{Probe, judge_probe},
    id::RequestId,
    method::Method,
    object::RawObject,
};

use crate::{client_meta::modern_meta, era_cache::SupportedEras, http_server::HttpServer};

impl HttpServer {
    pub(crate) async fn eras(&self, credential: &UpstreamCredential) -> Result<Arc<SupportedEras>> {
        self.eras
            .get(self.pin(), async || Box::pin(self.probe(credential)).await)
            .await
    }

    fn pin(&self) -> portolan_core::ProtocolEra {
        match self.server.era {
            portolan_core::ProtocolEra::Auto => self.endpoint.era,
            pinned => pinned,
        }
    }

    /// Asks the server what it speaks, and what it is.
    pub(crate) async fn probe(&self, credential: &UpstreamCredential) -> Result<SupportedEras> {
        let mut params = RawObject::new();
        params.set(
            portolan_wire::meta::META,
            modern_meta(None, Bytes::from_static(b"{}"), &self.client.config().name),
        );
        let text = envelope::request(&RequestId::from_u64(0), &Method::Discover, Some(&params.to_bytes()));
        let headers = self.headers_of(&Method::Discover, &params, credential, &HeaderMap::new());
        let (head, body) = self.exchange(headers, text, credential, "server/discover").await?;
        match judge_probe(head.status, Some("application/json"), &body) {
            Probe::Legacy => Ok(SupportedEras::legacy()),
            Probe::Modern { supported, discovered } => {
                if let Some(result) = discovered {
                    self.info.learn(&result);
                }
                let versions: Vec<_> = supported
                    .iter()
                    .filter_map(portolan_wire::era::NamedVersion::known)
                    .collect();
                if versions.is_empty() && !supported.is_empty() {
                    return Err(self.failed(
                        Failure::new(
                            FailureKind::Protocol,
                            "it supports no protocol version that this client supports",
                        )
                        .detail(format!(
                            "it supports {}",
                            supported.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                        )),
                    ));
                }
                Ok(SupportedEras::named(&versions))
            }
            Probe::Unauthorized => Err(self.unwelcome(head.status)),
            Probe::Unknown if head.status.is_redirection() => Err(self.redirected(head.status, &head.headers)),
            Probe::Unknown => Err(self.failed(Failure::new(
                FailureKind::Connection,
                format!("it responded with HTTP {}", head.status),
            ))),
        }
    }
}
