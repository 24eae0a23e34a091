//! The contracts.

mod on_file {
    use crate::support::store_on_file;

    portolan_core::conformance::registry_suite!(async || store_on_file().await);
    portolan_core::conformance::credential_suite!(async || store_on_file().await);
    portolan_core::conformance::session_suite!(async || store_on_file().await);
    portolan_core::conformance::one_time_suite!(async || store_on_file().await);
    portolan_core::conformance::bus_suite!(async || store_on_file().await);
}

mod in_memory {
    use std::sync::Arc;

    use portolan_core::SystemClock;
    use portolan_storage_sql::SqlStore;

    async fn store() -> SqlStore {
        SqlStore::in_memory(Arc::new(SystemClock))
            .await
            .expect("the store opens")
    }

    portolan_core::conformance::registry_suite!(async || store().await);
    portolan_core::conformance::credential_suite!(async || store().await);
    portolan_core::conformance::session_suite!(async || store().await);
    portolan_core::conformance::one_time_suite!(async || store().await);
    portolan_core::conformance::bus_suite!(async || store().await);
}

mod in_a_pool_of_the_host {
    use crate::support::store_in_pool;

    portolan_core::conformance::registry_suite!(async || store_in_pool().await);
    portolan_core::conformance::credential_suite!(async || store_in_pool().await);
    portolan_core::conformance::session_suite!(async || store_in_pool().await);
    portolan_core::conformance::one_time_suite!(async || store_in_pool().await);
    portolan_core::conformance::bus_suite!(async || store_in_pool().await);
}

mod with_remote_keys {
    use std::sync::Arc;

    use portolan_core::{KeyProvider, SystemClock};
    use portolan_storage_sql::SqlStore;

    use crate::{
        remote::RemoteKeys,
        support::{Place, PlaceClock},
    };

    async fn store() -> SqlStore {
        let (place, keys) = (Place::new(), Arc::new(RemoteKeys::default()));
        let path = place.database();
        SqlStore::open(
            path,
            keys as Arc<dyn KeyProvider>,
            Arc::new(PlaceClock::new(place, SystemClock)),
        )
        .await
        .expect("the store opens")
    }

    portolan_core::conformance::credential_suite!(async || store().await);
    portolan_core::conformance::one_time_suite!(async || store().await);
}

/// The providers themselves.
mod keys {
    use std::sync::Arc;

    use portolan_core::{KeyProvider, conformance::key_provider::Fixture, memory::MemoryKeys};
    use portolan_storage_sql::{Keyring, SealingKeys};

    use crate::remote::RemoteKeys;

    fn sealing(bytes: &[u8]) -> SealingKeys {
        let mut keys = bytes.iter().rev().map(|byte| [*byte; 32]);
        let first = SealingKeys::new(&keys.next().expect("a key")).expect("a key");
        keys.try_fold(first, |all, key| all.with_older(&key)).expect("room")
    }

    fn sealing_keys() -> Fixture {
        Fixture::new(Arc::new(sealing(&[1])), || async {
            Arc::new(sealing(&[1, 2])) as Arc<dyn KeyProvider>
        })
    }

    fn keyring() -> Fixture {
        let earlier: Arc<dyn KeyProvider> = Arc::new(MemoryKeys::new());
        Fixture::new(Arc::new(Keyring::from(earlier.clone())), move || {
            let keys = Keyring::from(sealing(&[1])).with_older(earlier.clone());
            async move { Arc::new(keys) as Arc<dyn KeyProvider> }
        })
    }

    fn remote() -> Fixture {
        let keys = Arc::new(RemoteKeys::default());
        Fixture::new(keys.clone(), move || {
            keys.rotate();
            let keys = keys.clone();
            async move { keys as Arc<dyn KeyProvider> }
        })
    }

    mod of_bytes {
        portolan_core::conformance::key_provider_suite!(|| crate::conformance::keys::sealing_keys());
    }
    mod of_two_providers {
        portolan_core::conformance::key_provider_suite!(|| crate::conformance::keys::keyring());
    }
    mod far_away {
        portolan_core::conformance::key_provider_suite!(|| crate::conformance::keys::remote());
    }
}
