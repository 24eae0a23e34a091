//! Cases of [`KeyProvider`].

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::race;
use crate::{DataKey, Error, KeyId, KeyProvider, WrappedKey};

type Rotate = dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn KeyProvider>> + Send>> + Send + Sync;

/// A provider under test, and a way to give it a new current key.
#[derive(Clone)]
#[non_exhaustive]
pub struct Fixture {
    /// The provider.
    pub provider: Arc<dyn KeyProvider>,
    rotate: Arc<Rotate>,
}

impl Fixture {
    /// Creates a fixture. `rotate` makes a new version of the key the current one, keeps the older ones, and returns the
    /// provider that then wraps with it: the same one, or one that was opened again.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::{KeyProvider, conformance::key_provider::Fixture, memory::MemoryKeys};
    ///
    /// let keys = Arc::new(MemoryKeys::new());
    /// let fixture = Fixture::new(keys.clone(), move || {
    ///     let keys = keys.clone();
    ///     async move {
    ///         keys.rotate();
    ///         keys as Arc<dyn KeyProvider>
    ///     }
    /// });
    /// ```
    pub fn new<F>(provider: Arc<dyn KeyProvider>, rotate: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn KeyProvider>> + Send + 'static,
    {
        Self {
            provider,
            rotate: Arc::new(move || Box::pin(rotate())),
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// `unwrap` gives the data key that was wrapped, each time.
pub async fn wrapped_key_unwraps(fixture: Fixture) {
    let keys = fixture.provider;
    for byte in [0, 7, 255] {
        let wrapped = wrap(&keys, byte, "secret a/b").await;
        for _ in 0..2 {
            assert_eq!(keys.unwrap(&wrapped, "secret a/b").await.expect("unwraps"), key(byte));
        }
    }
}

/// Contexts may be any text of up to 1 KiB, and each is another one.
pub async fn context_is_bound(fixture: Fixture) {
    let keys = fixture.provider;
    let long = "x".repeat(1 << 10);
    let contexts = ["", "a", "A", "a\0", "ключ ☕", "{\"a\": \"b\"}", &long, &long[1..]];
    for context in contexts {
        let wrapped = wrap(&keys, 7, context).await;
        for other in contexts {
            let unwrapped = keys.unwrap(&wrapped, other).await;
            match unwrapped {
                Ok(found) => assert!(found == key(7) && other == context, "{other:?} for {context:?}"),
                Err(error) => {
                    assert_ne!(other, context, "{error:?}");
                    assert_invalid(&error);
                }
            }
        }
    }
}

/// Changed or cut bytes are invalid, whatever they are.
pub async fn changed_bytes_are_invalid(fixture: Fixture) {
    let keys = fixture.provider;
    let wrapped = wrap(&keys, 7, "a").await;
    let last = wrapped.bytes.len() - 1;
    for at in [0, last / 2, last] {
        let mut changed = wrapped.clone();
        changed.bytes[at] ^= 1;
        assert_invalid(&keys.unwrap(&changed, "a").await.expect_err("changed"));
        let mut cut = wrapped.clone();
        cut.bytes.truncate(at);
        assert_invalid(&keys.unwrap(&cut, "a").await.expect_err("cut"));
    }
    for bytes in [vec![], vec![0xa5; WrappedKey::MAX_LEN]] {
        let key = wrapped.key.clone();
        assert_invalid(&keys.unwrap(&WrappedKey { key, bytes }, "a").await.expect_err("other"));
    }
}

/// A version that the provider never had is invalid, and named.
pub async fn unknown_key_is_named(fixture: Fixture) {
    let keys = fixture.provider;
    let mut wrapped = wrap(&keys, 7, "a").await;
    wrapped.key = KeyId::parse("never-was").expect("an id");
    let error = keys.unwrap(&wrapped, "a").await.expect_err("unknown");
    assert_invalid(&error);
    assert!(error.to_string().contains("never-was"), "{error}");
}

/// `wrap` uses the version that `current` names, and its result fits the bound.
pub async fn current_key_wraps(fixture: Fixture) {
    let keys = fixture.provider;
    let current = keys.current().await.expect("current");
    let wrapped = wrap(&keys, 7, "a").await;
    assert_eq!(wrapped.key, current);
    assert!((1..=WrappedKey::MAX_LEN).contains(&wrapped.bytes.len()));
}

/// The wrapped key does not contain the data key.
pub async fn wrapped_key_hides_data_key(fixture: Fixture) {
    let bytes = std::array::from_fn(|at| u8::try_from(at * 5 + 3).unwrap_or(0));
    let wrapped = fixture.provider.wrap(&DataKey::new(bytes), "a").await.expect("wraps");
    let shown = wrapped
        .bytes
        .windows(8)
        .any(|part| bytes.windows(8).any(|own| own == part));
    assert!(!shown, "a part of the data key is in the wrapped one");
}

/// After a rotation another version wraps, and what the older one wrapped still unwraps.
pub async fn rotated_key_still_unwraps(fixture: Fixture) {
    let before = wrap(&fixture.provider, 7, "a").await;
    let keys = (fixture.rotate)().await;
    let current = keys.current().await.expect("current");
    assert_ne!(current, before.key);
    let after = wrap(&keys, 8, "a").await;
    assert_eq!(after.key, current);
    assert_eq!(keys.unwrap(&before, "a").await.expect("the older"), key(7));
    assert_eq!(keys.unwrap(&after, "a").await.expect("the newer"), key(8));
}

/// Bytes that one version wrapped are invalid under the name of another one.
pub async fn versions_are_apart(fixture: Fixture) {
    let before = wrap(&fixture.provider, 7, "a").await;
    let keys = (fixture.rotate)().await;
    let after = wrap(&keys, 7, "a").await;
    let moved = WrappedKey {
        key: after.key,
        bytes: before.bytes,
    };
    assert_invalid(&keys.unwrap(&moved, "a").await.expect_err("another version wrapped it"));
}

/// Many tasks wrap and unwrap at once, and each gets its own key.
pub async fn racing_tasks_get_their_own(fixture: Fixture) {
    let results = race((0..16).map(|task| {
        let keys = fixture.provider.clone();
        async move {
            let context = task.to_string();
            let wrapped = wrap(&keys, task, &context).await;
            keys.unwrap(&wrapped, &context).await.expect("unwraps") == key(task)
        }
    }))
    .await;
    assert!(results.into_iter().all(|own| own));
}

/// No key shows in the `Debug` of the provider, of data keys, and in errors.
pub async fn keys_do_not_show(fixture: Fixture) {
    let keys = fixture.provider;
    let data_key = DataKey::new(*b"s3cr3t-of-the-suite-s3cr3t-of-th");
    let wrapped = keys.wrap(&data_key, "a").await.expect("wraps");
    let error = keys.unwrap(&wrapped, "b").await.expect_err("another context");
    let shown = format!("{keys:?} {data_key:?} {error:?} {error}");
    let numbers = format!("{:?}", data_key.reveal());
    assert!(
        !shown.contains("s3cr3t") && !shown.contains(numbers.trim_matches(['[', ']'])),
        "{shown}"
    );
}

async fn wrap(keys: &Arc<dyn KeyProvider>, byte: u8, context: &str) -> WrappedKey {
    keys.wrap(&key(byte), context).await.expect("wraps")
}

fn key(byte: u8) -> DataKey {
    DataKey::new([byte; 32])
}

#[track_caller]
fn assert_invalid(error: &Error) {
    assert!(matches!(error, Error::Invalid { .. }), "invalid, not {error:?}");
}
