//! In-memory backends: the reference implementation of each contract.
//!
//! They hold everything in the process. Use them in tests and examples, and read them to learn what a contract requires:
//! each is the shortest code that passes its suite.

mod authenticator;
mod broker;
mod bus;
mod clock;
mod credential;
mod discovery;
mod gateway;
mod guard;
mod keys;
mod one_time;
mod registry;
mod runtime;
mod session;

pub use authenticator::MemoryTokens;
pub use broker::NoCredentials;
pub use bus::MemoryBus;
pub use clock::ManualClock;
pub use credential::MemoryCredentials;
pub use discovery::MemoryDiscovery;
pub use gateway::MemoryGateway;
pub use guard::MemoryGuard;
pub use keys::MemoryKeys;
pub use one_time::MemoryOneTime;
pub use registry::MemoryRegistry;
pub use runtime::MemoryRuntime;
pub use session::MemorySessions;

use std::{
    num::NonZeroU64,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Error, Precondition, Result, Version};

/// Locks a value. A panic leaves no incomplete change behind in these backends, so poison is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates versions, each once, so that no key gets one again, also after it was removed.
#[derive(Debug, Default)]
struct Versions(u64);

impl Versions {
    fn next(&mut self) -> Version {
        self.0 += 1;
        Version(NonZeroU64::MIN.saturating_add(self.0 - 1))
    }
}

/// Checks a precondition against the version that is stored now.
fn check(when: Precondition, now: Option<Version>, conflict: impl FnOnce() -> Error) -> Result<()> {
    let holds = match when {
        Precondition::None => true,
        Precondition::Absent => now.is_none(),
        Precondition::Version(version) => now == Some(version),
    };
    if holds { Ok(()) } else { Err(conflict()) }
}
