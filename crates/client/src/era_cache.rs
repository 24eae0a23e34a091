//! Detects the eras of a server (2026-07-28, basic/versioning).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use portolan_core::{ProtocolEra, Result};
use portolan_wire::era::{Era, ProtocolVersion};
use tokio::sync::Mutex;

/// How long "legacy only" is cached: servers are upgraded.
const LEGACY_BELIEVED: Duration = Duration::from_secs(600);

/// The eras and versions of a server.
#[derive(Debug)]
pub(crate) struct SupportedEras {
    /// `true` if the server accepts stateless requests.
    pub(crate) modern: bool,
    /// The legacy versions that the server named; empty with `legacy` set if it named none.
    pub(crate) legacy_versions: Vec<ProtocolVersion>,
    /// `true` if the server accepts `initialize`.
    pub(crate) legacy: bool,
    /// When the server was probed.
    since: Instant,
}

/// The cached eras of one server.
#[derive(Debug, Default)]
pub(crate) struct EraCache {
    eras: ArcSwapOption<SupportedEras>,
    asking: Mutex<()>,
}

impl SupportedEras {
    /// Returns the eras of a server that accepts `initialize` only.
    pub(crate) fn legacy() -> Self {
        Self {
            modern: false,
            legacy_versions: Vec::new(),
            legacy: true,
            since: Instant::now(),
        }
    }

    /// Returns the eras of a server that accepts stateless requests only.
    fn modern() -> Self {
        Self {
            modern: true,
            legacy_versions: Vec::new(),
            legacy: false,
            since: Instant::now(),
        }
    }

    /// Returns the eras of a server that named these versions.
    pub(crate) fn named(versions: &[ProtocolVersion]) -> Self {
        let of = |era| versions.iter().copied().filter(move |version| version.era() == era);
        Self {
            // A modern server may name no version.
            modern: versions.is_empty() || of(Era::Modern).next().is_some(),
            legacy: of(Era::Legacy).next().is_some(),
            legacy_versions: of(Era::Legacy).collect(),
            since: Instant::now(),
        }
    }

    /// Returns the era for a client's request: its own if the server has it, because then nothing is converted.
    pub(crate) fn era_for(&self, client: Option<Era>) -> Era {
        match client {
            Some(Era::Legacy) if self.legacy => Era::Legacy,
            _ if self.modern => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

impl EraCache {
    /// Returns the cached eras, or those that `ask` finds. Only one caller asks at a time; the others wait for its result.
    pub(crate) async fn get(
        &self,
        pin: ProtocolEra,
        ask: impl AsyncFnOnce() -> Result<SupportedEras>,
    ) -> Result<Arc<SupportedEras>> {
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let eras = match pin {
            ProtocolEra::Modern => SupportedEras::modern(),
            ProtocolEra::Legacy => SupportedEras::legacy(),
            ProtocolEra::Auto => ask().await?,
        };
        let known = Arc::new(eras);
        self.eras.store(Some(known.clone()));
        Ok(known)
    }

    /// Clears the cache, because a response of the server contradicts it.
    pub(crate) fn forget(&self) {
        self.eras.store(None);
    }

    fn fresh(&self) -> Option<Arc<SupportedEras>> {
        let known = self.eras.load_full()?;
        (known.modern || known.since.elapsed() < LEGACY_BELIEVED).then_some(known)
    }
}

/// Returns the newest legacy version that both a client and a server speak.
pub(crate) fn legacy_version(wanted: Option<ProtocolVersion>, offered: &[ProtocolVersion]) -> ProtocolVersion {
    let newest = offered
        .iter()
        .copied()
        .filter(|version| version.era() == Era::Legacy)
        .max_by_key(|version| version.as_str());
    match wanted {
        Some(version) if offered.is_empty() || offered.contains(&version) => version,
        _ => newest.unwrap_or(ProtocolVersion::NEWEST_LEGACY),
    }
}
