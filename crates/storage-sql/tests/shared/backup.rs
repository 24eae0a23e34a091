//! An installation to back up, and what is in a store.

use std::collections::BTreeMap;

use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Page, Precondition, RecordKind, Registry, conformance::sample,
};
use portolan_storage_sql::SqlStore;

/// The content of a store as text, without versions.
pub(crate) async fn content(store: &SqlStore) -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    for kind in [
        RecordKind::Server,
        RecordKind::Install,
        RecordKind::Gateway,
        RecordKind::Token,
    ] {
        let mut page = Page::first();
        loop {
            let records = store.list(kind, page).await.expect("a page");
            let Some(last) = records.last() else { break };
            page = Page::after(last.value.key());
            for record in records {
                let json = serde_json::to_string(&record.value).expect("JSON");
                content.insert(format!("{:?}", record.value.key()), json);
            }
        }
    }
    for key in store.keys("", None, 10_000).await.expect("keys") {
        let secret = store.read(&key).await.expect("read").expect("is there");
        content.insert(key.to_string(), secret.value.reveal().to_owned());
    }
    content
}

/// Fills a store with records of each kind, installs that share their tools, and secrets.
pub(crate) async fn fill(store: &SqlStore, installs: u128) {
    for record in sample::one_of_each() {
        Registry::put(store, record, Precondition::None).await.expect("put");
    }
    for number in 100..100 + installs {
        let install = sample::install(number);
        let path = format!("install/{}/token", install.name);
        Registry::put(store, install.into(), Precondition::Absent)
            .await
            .expect("put");
        let key = CredentialKey::parse(path).expect("a key");
        let secret = format!("planted-{number}\n\u{1F511} \"quoted\"");
        CredentialStore::put(store, &key, secret.into(), Precondition::Absent)
            .await
            .expect("put");
    }
}
