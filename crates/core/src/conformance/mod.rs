//! The conformance kit: one test for each promise of each contract, for every backend, also those of hosts.
//!
//! One line in a test file makes a suite of ordinary tests. The closure creates a fresh, empty backend for each test; with
//! `async ||` it may await. The test crate needs no dependency on tokio:
//!
//! ```
//! # use portolan_core::memory::{MemoryCredentials, MemoryRegistry};
//! portolan_core::conformance::registry_suite!(|| MemoryRegistry::new());
//! portolan_core::conformance::credential_suite!(async || {
//!     // e.g. MyVault::connect("…").await.expect("vault")
//!     MemoryCredentials::new()
//! });
//! ```
//!
//! Each suite is a module of its own name (`registry_suite::stale_put_conflicts`). The same suite for a second backend goes
//! into another `mod`. A backend is a value or an [`Arc`], also an `Arc<dyn Registry>`; contracts that need more than a
//! backend take a `Fixture`.
//!
//! Cases are functions, one module per contract, and can be called alone. Each runs on its own threads, so that races are
//! real, and fails after [`LIMIT`].

use std::{sync::Arc, time::Duration};

use crate::{AuditSink, Bus, CredentialStore, Gateway, Guard, OneTimeStore, Policy, Registry, SessionStore};

pub mod audit;
pub mod authenticator;
pub mod broker;
pub mod bus;
pub mod credential;
pub mod discovery;
pub mod gateway;
pub mod guard;
pub mod key_provider;
pub mod one_time;
pub mod policy;
pub mod registry;
pub mod registry_changes;
pub mod registry_lookups;
pub mod runtime;
pub mod sample;
pub mod session;
mod suites;

pub use suites::{
    audit_suite, authenticator_suite, broker_suite, bus_suite, credential_suite, discovery_suite, gateway_suite,
    guard_suite, key_provider_suite, one_time_suite, policy_suite, registry_suite, runtime_suite, session_suite,
};

/// The longest time of a case. A case that takes longer fails.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Runs one case on a multi-threaded tokio runtime.
///
/// # Panics
///
/// If the case panics or takes longer than [`LIMIT`], or threads cannot be started.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test needs threads");
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, case)
            .await
            .expect("the case ends within the limit");
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// A conversion of a fresh backend into the form that the cases take.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{Registry, conformance::Fresh, memory::MemoryRegistry};
///
/// let registry: Arc<dyn Registry> = MemoryRegistry::new().fresh();
/// ```
pub trait Fresh<T> {
    /// Converts the backend.
    fn fresh(self) -> T;
}

macro_rules! fresh {
    ($($contract:ident),*) => {$(
        impl<B: $contract + 'static> Fresh<Arc<dyn $contract>> for B {
            fn fresh(self) -> Arc<dyn $contract> {
                Arc::new(self)
            }
        }

        impl<B: $contract + 'static> Fresh<Arc<dyn $contract>> for Arc<B> {
            fn fresh(self) -> Arc<dyn $contract> {
                self
            }
        }

        impl Fresh<Self> for Arc<dyn $contract> {
            fn fresh(self) -> Self {
                self
            }
        }
    )*};
}
fresh!(
    Registry,
    CredentialStore,
    SessionStore,
    Bus,
    Gateway,
    Policy,
    AuditSink,
    Guard,
    OneTimeStore
);

macro_rules! fixture {
    ($($contract:ident),*) => {$(
        impl Fresh<Self> for $contract::Fixture {
            fn fresh(self) -> Self {
                self
            }
        }
    )*};
}
fixture!(runtime, authenticator, broker, discovery, key_provider);

/// Runs `tasks` at the same time on threads and returns their results.
async fn race<T: Send + 'static>(tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        results.push(task.await.expect("no task of the race panics"));
    }
    results
}

/// Fails unless exactly one of `results` succeeded and all others are conflicts.
#[track_caller]
fn assert_one_winner<T: std::fmt::Debug>(results: &[crate::Result<T>]) {
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1, "exactly one wins: {results:?}");
    results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .for_each(assert_conflict);
}

/// Fails unless `error` is a conflict.
#[track_caller]
fn assert_conflict(error: &crate::Error) {
    assert!(
        matches!(error, crate::Error::Conflict { .. }),
        "a conflict, not {error:?}"
    );
}
