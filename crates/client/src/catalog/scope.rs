//! The catalogs of a server, one per credential scope.

use std::sync::{Arc, Mutex, PoisonError};

use portolan_core::UpstreamCredential;

use super::Catalog;
use crate::credential_headers;

/// The number of scopes per server. Beyond it, the least recently used one is dropped.
const SCOPES: usize = 256;

/// The catalogs of one server.
#[derive(Debug)]
pub(crate) struct Catalogs {
    /// The catalog of all callers of the install: the only one, unless callers have credentials of their own.
    shared: Arc<Catalog>,
    /// The catalogs of scopes, the most recently used one last.
    scoped: Mutex<Vec<(Scope, Arc<Catalog>)>>,
}

/// The scope of a credential: credentials of different scopes may see different lists.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// The scope that the broker named.
    Named(Arc<str>),
    /// SHA-256 of the headers.
    Headers([u8; 32]),
}

impl Scope {
    /// Returns the scope; `None` for the credential of all callers of the install.
    fn of(credential: &UpstreamCredential) -> Option<Self> {
        match &credential.scope {
            Some(scope) if scope.is_empty() => None,
            Some(scope) => Some(Self::Named(scope.clone())),
            None if credential.headers.is_empty() => None,
            None => Some(Self::Headers(credential_headers::fingerprint(credential))),
        }
    }
}

impl Catalogs {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::default(),
            scoped: Mutex::default(),
        }
    }

    /// Returns the catalog that all callers of the install share.
    pub(crate) fn shared(&self) -> &Arc<Catalog> {
        &self.shared
    }

    /// Returns the catalog of a credential's scope.
    pub(crate) fn of(&self, credential: &UpstreamCredential) -> Arc<Catalog> {
        let Some(scope) = Scope::of(credential) else {
            return self.shared.clone();
        };
        let mut scoped = self.scoped.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match scoped.iter().rposition(|(known, _)| *known == scope) {
            Some(at) if at + 1 == scoped.len() => return scoped[at].1.clone(),
            Some(at) => scoped.remove(at),
            None => (scope, Arc::default()),
        };
        if scoped.len() >= SCOPES {
            scoped.remove(0);
        }
        let catalog = entry.1.clone();
        scoped.push(entry);
        catalog
    }

    pub(crate) fn for_each(&self, act: impl Fn(&Catalog)) {
        act(&self.shared);
        let scoped = self.scoped.lock().unwrap_or_else(PoisonError::into_inner);
        scoped.iter().for_each(|(_, catalog)| act(catalog));
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use portolan_core::Secret;

    use super::*;

    fn bearer(token: &str, scope: Option<&str>) -> UpstreamCredential {
        let mut credential = UpstreamCredential::none();
        credential.headers.push((header::AUTHORIZATION, Secret::new(token)));
        credential.scope = scope.map(Arc::from);
        credential
    }

    #[test]
    fn credentials_without_scope_share_by_headers() {
        let catalogs = Catalogs::new();
        let (alice, bob) = (catalogs.of(&bearer("a", None)), catalogs.of(&bearer("b", None)));
        assert!(!Arc::ptr_eq(&alice, &bob));
        assert!(Arc::ptr_eq(&alice, &catalogs.of(&bearer("a", None))));
        assert!(Arc::ptr_eq(
            catalogs.shared(),
            &catalogs.of(&UpstreamCredential::none())
        ));
    }

    #[test]
    fn named_scope_outlives_its_token() {
        let catalogs = Catalogs::new();
        let before = catalogs.of(&bearer("a", Some("alice")));
        assert!(Arc::ptr_eq(&before, &catalogs.of(&bearer("rotated", Some("alice")))));
        assert!(Arc::ptr_eq(catalogs.shared(), &catalogs.of(&bearer("a", Some("")))));
    }

    #[test]
    fn least_recently_used_scope_goes() {
        let catalogs = Catalogs::new();
        let first = catalogs.of(&bearer("a", Some("0")));
        for scope in 1..=SCOPES {
            catalogs.of(&bearer("a", Some(&scope.to_string())));
            if scope == 1 {
                catalogs.of(&bearer("a", Some("0")));
            }
        }
        assert!(Arc::ptr_eq(&first, &catalogs.of(&bearer("a", Some("0")))));
        assert_eq!(catalogs.scoped.lock().unwrap().len(), SCOPES);
    }
}
