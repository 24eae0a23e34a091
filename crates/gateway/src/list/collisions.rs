//! Names and URIs that two servers behind one gateway have.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use portolan_core::ServerName;

use super::Shown;

/// Of more than these nothing is said.
const MOST: usize = 1000;

/// What was said of them: each is told once, for as long as what the gateway serves stays the same.
#[derive(Debug, Default)]
pub(crate) struct Collisions(Mutex<HashSet<(&'static str, Box<str>, ServerName)>>);

impl Collisions {
    /// Says that `hidden` has something by this name that clients cannot have, because it is the name of another's.
    pub(super) fn note<L: Shown>(&self, name: &str, first: &ServerName, hidden: &ServerName) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST && told.insert((L::MEMBER, name.into(), hidden.clone())) {
            tracing::warn!(list = L::MEMBER, name, %first, %hidden,
                "two servers of a gateway list the same; the first one's counts ({} tells them apart)", L::APART);
        }
    }
}
