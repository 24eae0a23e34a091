//! The contracts.

mod direct {
    use crate::support::{Address, fresh};

    portolan_core::conformance::registry_suite!(async || fresh(Address::Direct).await);
    portolan_core::conformance::credential_suite!(async || fresh(Address::Direct).await);
    portolan_core::conformance::session_suite!(async || fresh(Address::Direct).await);
    portolan_core::conformance::bus_suite!(async || fresh(Address::Direct).await);
}

mod behind_old_pooler {
    use crate::support::{Address, fresh};

    portolan_core::conformance::registry_suite!(async || fresh(Address::OldPooler).await);
    portolan_core::conformance::credential_suite!(async || fresh(Address::OldPooler).await);
    portolan_core::conformance::session_suite!(async || fresh(Address::OldPooler).await);
    portolan_core::conformance::bus_suite!(async || fresh(Address::OldPooler).await);
}

mod behind_new_pooler {
    use crate::support::{Address, fresh};

    portolan_core::conformance::registry_suite!(async || fresh(Address::NewPooler).await);
    portolan_core::conformance::credential_suite!(async || fresh(Address::NewPooler).await);
    portolan_core::conformance::session_suite!(async || fresh(Address::NewPooler).await);
    portolan_core::conformance::bus_suite!(async || fresh(Address::NewPooler).await);
}
