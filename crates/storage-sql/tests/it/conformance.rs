//! The contracts.

mod on_file {
    use crate::support::store_on_file;

    portolan_core::conformance::registry_suite!(async || store_on_file().await);
    portolan_core::conformance::credential_suite!(async || store_on_file().await);
    portolan_core::conformance::session_suite!(async || store_on_file().await);
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
    portolan_core::conformance::bus_suite!(async || store().await);
}

mod in_a_pool_of_the_host {
    use crate::support::store_in_pool;

    portolan_core::conformance::registry_suite!(async || store_in_pool().await);
    portolan_core::conformance::credential_suite!(async || store_in_pool().await);
    portolan_core::conformance::session_suite!(async || store_in_pool().await);
    portolan_core::conformance::bus_suite!(async || store_in_pool().await);
}
