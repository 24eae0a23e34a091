//! Labels of servers and gateways.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A set of `key: value` labels, by which gateways select servers; at most 64, of at most 128 bytes per key and value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The most labels in one set.
    pub const MAX: usize = 64;

    /// Creates a set of labels. Of a key that is given twice the last value counts.
    ///
    /// ```
    /// use portolan_core::Labels;
    ///
    /// let labels = Labels::new([("team", "web"), ("stage", "prod")])?;
    /// assert_eq!(labels.iter().next(), Some(("stage", "prod")));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for more than [`Labels::MAX`] labels, or a key or value that is empty, longer than 128 bytes or
    /// has control characters.
    pub fn new<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self> {
        let pairs: BTreeMap<String, String> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self::try_from(pairs)
    }

    /// Returns `true` if at least one label is in both sets.
    pub fn shares_a_pair_with(&self, other: &Self) -> bool {
        self.0.iter().any(|(key, value)| other.0.get(key) == Some(value))
    }

    /// Iterates over the labels, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns `true` if there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = Error;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self> {
        if pairs.len() > Self::MAX {
            return Err(Error::invalid(
                "labels",
                format!("{} are too many: at most {}", pairs.len(), Self::MAX),
            ));
        }
        let fits = |text: &str| !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
        match pairs.iter().find(|(key, value)| !fits(key) || !fits(value)) {
            Some((key, _)) => Err(Error::invalid(
                "labels",
                format!("key and value of {key:?} must have 1 to 128 bytes without control characters"),
            )),
            None => Ok(Self(pairs)),
        }
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::new(pairs.iter().copied()).expect("labels")
    }

    #[test]
    fn equal_key_and_value_are_shared() {
        let web = labels(&[("team", "web"), ("stage", "prod")]);
        assert!(web.shares_a_pair_with(&labels(&[("stage", "prod"), ("team", "data")])));
        assert!(!web.shares_a_pair_with(&labels(&[("team", "prod"), ("web", "team")])));
        assert!(
            !web.shares_a_pair_with(&Labels::default()) && !Labels::default().shares_a_pair_with(&Labels::default())
        );
    }

    #[test]
    fn number_and_length_are_bounded() {
        let many = |count: usize| Labels::new((0..count).map(|n| (n.to_string(), "v")));
        assert!(many(Labels::MAX).is_ok() && many(Labels::MAX + 1).is_err());
        let long = "x".repeat(129);
        for (key, value) in [
            ("", "v"),
            ("k", ""),
            (long.as_str(), "v"),
            ("k", long.as_str()),
            ("k", "a\nb"),
        ] {
            assert!(Labels::new([(key, value)]).is_err(), "{key:?}: {value:?}");
        }
    }

    #[test]
    fn last_value_wins_and_storage_is_checked() {
        assert_eq!(
            labels(&[("k", "1"), ("k", "2")]).iter().collect::<Vec<_>>(),
            [("k", "2")]
        );
        assert!(serde_json::from_str::<Labels>(r#"{"":"v"}"#).is_err());
    }
}
