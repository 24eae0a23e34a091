//! Logs names and URIs that two servers of a gateway share.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use portolan_core::ServerName;

/// The maximum number of collisions that are logged.
const MAX_LOGGED: usize = 1000;

/// The logged collisions: each is logged once per publication of the gateway.
#[derive(Debug, Default)]
pub(crate) struct Collisions(Mutex<HashSet<(&'static str, Box<str>, ServerName)>>);

impl Collisions {
    /// Logs that `hidden` lists an item by this name which clients cannot use, because `first` lists one too. `remedy`
    /// is the setting that distinguishes the two.
    pub(crate) fn log(&self, list: &'static str, name: &str, [first, hidden]: [&ServerName; 2], remedy: &str) {
        if self.is_new(list, name, hidden) {
            tracing::warn!(list, name, %first, %hidden,
                "two servers of a gateway list the same name; only the first one's is used (set {remedy} to use both)");
        }
    }

    fn is_new(&self, list: &'static str, name: &str, hidden: &ServerName) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MAX_LOGGED && logged.insert((list, name.into(), hidden.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collisions_are_logged_once_within_bounds() {
        let (collisions, hidden) = (Collisions::default(), ServerName::parse("b").expect("a name"));
        assert!(collisions.is_new("resources", "a:1", &hidden));
        assert!(!collisions.is_new("resources", "a:1", &hidden));
        assert!(collisions.is_new("tools", "a:1", &hidden));
        let logged = (0..2 * MAX_LOGGED).filter(|at| collisions.is_new("resources", &format!("b:{at}"), &hidden));
        assert_eq!(logged.count(), MAX_LOGGED - 2);
    }
}
