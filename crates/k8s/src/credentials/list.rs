//! Lists of keys.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::api::ListParams;
use portolan_core::CredentialKey;

use super::object::Names;
use crate::{api_client::ApiClient, error::ApiError};

/// How many objects one response has at most.
const PAGE: u32 = 500;

/// How often a list that took too long to read begins again.
const MAX_RESTARTS: usize = 3;

/// Returns the keys that begin with `prefix` and follow `after`, sorted, at most `limit`.
///
/// The API server sorts by name, which is a digest of the key. So all that have the whole parts of `prefix` are read, without
/// their contents, and at most `limit` are kept.
///
/// # Errors
///
/// Of the API server.
pub(super) async fn keys(
    client: &ApiClient,
    names: &Names,
    prefix: &str,
    after: Option<&CredentialKey>,
    limit: usize,
) -> Result<Vec<CredentialKey>, ApiError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let api = client.api::<KubeSecret>();
    let selector = names.selector(prefix);
    let (mut keys, mut next, mut restarts) = (BTreeSet::new(), None::<String>, 0);
    loop {
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        params.continue_token = next.take();
        let page = match client.call(|| api.list_metadata(&params)).await {
            // The snapshot of the first page has expired.
            Err(ApiError::NotFound(_)) if params.continue_token.is_some() && restarts < MAX_RESTARTS => {
                restarts += 1;
                keys.clear();
                continue;
            }
            page => page?,
        };
        let alive = page
            .items
            .iter()
            .filter(|object| object.metadata.deletion_timestamp.is_none());
        for key in alive.filter_map(|object| names.key_of(&object.metadata)) {
            if key.as_str().starts_with(prefix) && after.is_none_or(|after| key > *after) {
                keys.insert(key);
                if keys.len() > limit {
                    keys.pop_last();
                }
            }
        }
        next = page.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(keys.into_iter().collect());
        }
    }
}
