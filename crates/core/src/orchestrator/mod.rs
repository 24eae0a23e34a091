//! The orchestrator: installs, removes and repairs, by calling the parts in the right order.
//!
//! It keeps nothing itself. What is to be done stands in the registry before it is done, each step can be repeated, and
//! so running a flow again after a crash, at whatever step, *is* the repair: there is no journal and no saga engine.
//!
//! ```text
//! install   check answers → record (Reserved, then Pending) → store secrets → runtime.ensure → watch until ready
//!           → discover tools → record (Ready) → publish to the gateways that select it
//! remove    record (Removing) → publish without it → runtime.remove → remove secrets → remove the record
//! ```

mod answers;
mod catalogue;
mod installation;
mod outcome;
mod progress;
mod publication;
mod readiness;
mod removal;
mod repair;
mod reservation;
mod run_spec;
mod secrets;

pub use installation::InstallRequest;
pub use progress::Progress;
pub use publication::publication;
pub use repair::RepairReport;
pub use run_spec::run_spec;

use std::{sync::Arc, time::Duration};

use crate::{Clock, CredentialBroker, CredentialStore, Discovery, Gateway, Registry, Runtime};

/// What an orchestrator works with. A missing part is a compile error.
#[derive(Clone, Debug)]
pub struct OrchestratorParts {
    /// Where servers, installs and gateways are kept.
    pub registry: Arc<dyn Registry>,
    /// Where secrets are kept.
    pub credentials: Arc<dyn CredentialStore>,
    /// What runs self-hosted installs.
    pub runtime: Arc<dyn Runtime>,
    /// What serves gateways to clients.
    pub gateway: Arc<dyn Gateway>,
    /// What asks servers for their tools.
    pub discovery: Arc<dyn Discovery>,
    /// What says with which credential a server is asked.
    pub broker: Arc<dyn CredentialBroker>,
    /// What time records are given.
    pub clock: Arc<dyn Clock>,
}

/// What may be decided about an orchestrator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long an install may take until its tools are known; 120 seconds.
    pub install_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            install_deadline: Duration::from_secs(120),
        }
    }
}

/// Installs servers, removes installs, and keeps what is published in step with the registry.
///
/// Any number of orchestrators may work on one registry at the same time, on one machine or on many. A future that is
/// dropped leaves a state that the same call, or [`repair`](Self::repair), takes up again.
#[derive(Debug)]
pub struct Orchestrator {
    parts: OrchestratorParts,
    options: Options,
    /// Held while a publication is computed and handed over, so that an older one never replaces a newer one.
    publishing: tokio::sync::Mutex<()>,
}

impl Orchestrator {
    /// An orchestrator of these parts.
    pub fn new(parts: OrchestratorParts) -> Self {
        Self::with_options(parts, Options::default())
    }

    /// The same, with other options.
    pub fn with_options(parts: OrchestratorParts, options: Options) -> Self {
        Self {
            parts,
            options,
            publishing: tokio::sync::Mutex::default(),
        }
    }

    /// What it works with.
    pub fn parts(&self) -> &OrchestratorParts {
        &self.parts
    }
}
