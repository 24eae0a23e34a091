//! Names and URIs that two servers behind one gateway have.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use portolan_core::ServerName;

/// Of more than these nothing is said.
const MOST: usize = 1000;

/// What was said of them: each is told once, for as long as what the gateway serves stays the same.
#[derive(Debug, Default)]
pub(crate) struct Collisions(Mutex<HashSet<(&'static str, Box<str>, ServerName)>>);

impl Collisions {
    /// Logs that clients cannot have what `hidden` lists by this name, because `first` lists the same. `remedy` is the
    /// setting that tells both apart.
    pub(crate) fn note(&self, list: &'static str, name: &str, [first, hidden]: [&ServerName; 2], remedy: &str) {
        if self.is_news(list, name, hidden) {
            tracing::warn!(list, name, %first, %hidden,
                "two servers of a gateway list the same; the first one's counts ({remedy} tells them apart)");
        }
    }

    fn is_news(&self, list: &'static str, name: &str, hidden: &ServerName) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST && told.insert((list, name.into(), hidden.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_and_not_without_end() {
        let (collisions, hidden) = (Collisions::default(), ServerName::parse("b").expect("a name"));
        assert!(collisions.is_news("resources", "a:1", &hidden));
        assert!(!collisions.is_news("resources", "a:1", &hidden));
        assert!(collisions.is_news("tools", "a:1", &hidden));
        let told = (0..2 * MOST).filter(|at| collisions.is_news("resources", &format!("b:{at}"), &hidden));
        assert_eq!(told.count(), MOST - 2);
    }
}
