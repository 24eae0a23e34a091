//! A guard with preset decisions.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use super::lock;
use crate::{Guard, GuardContext, GuardDecision, Result};

/// A [`Guard`] that looks at nothing and returns preset decisions, for tests.
#[derive(Debug)]
pub struct MemoryGuard {
    before: Mutex<Result<GuardDecision>>,
    after: Mutex<Option<Result<GuardDecision>>>,
}

impl MemoryGuard {
    /// Creates a guard that decides so on every call, and lets every result pass unseen.
    ///
    /// ```
    /// use portolan_core::{Guard, GuardDecision, memory::MemoryGuard};
    ///
    /// let guard = MemoryGuard::new(GuardDecision::refuse("closed for the night"));
    /// assert!(!guard.needs_result());
    /// ```
    pub fn new(decision: GuardDecision) -> Self {
        Self {
            before: Mutex::new(Ok(decision)),
            after: Mutex::default(),
        }
    }

    /// Creates a guard that lets every call pass and decides so on every result.
    ///
    /// ```
    /// use portolan_core::{Guard, GuardDecision, memory::MemoryGuard};
    ///
    /// assert!(MemoryGuard::of_results(GuardDecision::Pass).needs_result());
    /// ```
    pub fn of_results(decision: GuardDecision) -> Self {
        Self {
            before: Mutex::new(Ok(GuardDecision::Pass)),
            after: Mutex::new(Some(Ok(decision))),
        }
    }

    /// Sets the decision on every call from now on, or the error instead of one.
    pub fn set(&self, decision: Result<GuardDecision>) {
        *lock(&self.before) = decision;
    }
}

#[async_trait]
impl Guard for MemoryGuard {
    fn name(&self) -> &str {
        "memory"
    }

    async fn before(&self, _: &GuardContext<'_>, _: &Bytes) -> Result<GuardDecision> {
        lock(&self.before).clone()
    }

    async fn after(&self, _: &GuardContext<'_>, _: &Bytes) -> Result<GuardDecision> {
        lock(&self.after).clone().unwrap_or(Ok(GuardDecision::Pass))
    }

    fn needs_result(&self) -> bool {
        lock(&self.after).is_some()
    }
}
