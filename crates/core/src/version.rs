//! Versions of stored values, and conditions of writes on them.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// A stored value with its version.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its version.
    pub version: Version,
}

/// The version of a record or secret: changes with each write. Only equality has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub NonZeroU64);

/// The condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// No condition: the last write wins.
    None,
    /// Nothing is stored under the key.
    Absent,
    /// The stored value has this version.
    Version(Version),
}
