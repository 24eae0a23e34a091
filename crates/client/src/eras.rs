//! Which eras a server speaks, found by asking (2026-07-28, basic/versioning).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use portolan_core::{ProtocolEra, Result};
use portolan_wire::era::{Era, ProtocolVersion};
use tokio::sync::Mutex;

/// How long "legacy only" is believed: servers are upgraded.
const LEGACY_BELIEVED: Duration = Duration::from_secs(600);

/// What a server speaks.
#[derive(Debug)]
pub(crate) struct SupportedEras {
    /// Whether it answers stateless requests.
    pub(crate) modern: bool,
    /// The legacy versions that it named; empty with `legacy` set means that it did not say.
    pub(crate) legacy_versions: Vec<ProtocolVersion>,
    /// Whether it shakes hands.
    pub(crate) legacy: bool,
    /// When it was asked.
    since: Instant,
}

/// What is known of one server.
#[derive(Debug, Default)]
pub(crate) struct EraCache {
    eras: ArcSwapOption<SupportedEras>,
    asking: Mutex<()>,
}

impl SupportedEras {
    /// A server that only shakes hands.
    pub(crate) fn legacy() -> Self {
        Self {
            modern: false,
            legacy_versions: Vec::new(),
            legacy: true,
            since: Instant::now(),
        }
    }

    /// A server that answers stateless requests only.
    fn modern() -> Self {
        Self {
            modern: true,
            legacy_versions: Vec::new(),
            legacy: false,
            since: Instant::now(),
        }
    }

    /// A server that named these versions.
    pub(crate) fn named(versions: &[ProtocolVersion]) -> Self {
        let of = |era| versions.iter().copied().filter(move |version| version.era() == era);
        Self {
            // A modern server that names nothing is modern all the same.
            modern: versions.is_empty() || of(Era::Modern).next().is_some(),
            legacy: of(Era::Legacy).next().is_some(),
            legacy_versions: of(Era::Legacy).collect(),
            since: Instant::now(),
        }
    }

    /// The era to speak for a client: its own where the server has it, because then nothing is lost between.
    pub(crate) fn era_for(&self, client: Option<Era>) -> Era {
        match client {
            Some(Era::Legacy) if self.legacy => Era::Legacy,
            _ if self.modern => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

impl EraCache {
    /// What is known, or what `ask` finds out. Only one asks at a time; the others wait for its answer.
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

    /// Forgets what is known, because the server has answered otherwise.
    pub(crate) fn forget(&self) {
        self.eras.store(None);
    }

    fn fresh(&self) -> Option<Arc<SupportedEras>> {
        let known = self.eras.load_full()?;
        (known.modern || known.since.elapsed() < LEGACY_BELIEVED).then_some(known)
    }
}

/// The newest legacy version that both a client and a server speak.
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
