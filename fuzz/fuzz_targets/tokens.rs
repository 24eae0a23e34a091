//! Sealed tokens: what was not sealed opens as nothing, and no payload is read in two ways.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portolan_gateway::{TokenKeys, fuzzing};

static KEYS: LazyLock<TokenKeys> = LazyLock::new(|| TokenKeys::new(1, &[7; 32]).expect("keys"));

fuzz_target!(|data: &[u8]| {
    if let Ok(token) = std::str::from_utf8(data) {
        assert_eq!(fuzzing::open_question(&KEYS, token), None, "made by nobody");
        assert_eq!(fuzzing::open_state(&KEYS, token), None, "made by nobody");
        assert!(!fuzzing::is_event_id(&KEYS, token), "made by nobody");
    }
    let again = [fuzzing::question_again(data), fuzzing::state_again(data), fuzzing::stream_again(data)];
    for again in again.into_iter().flatten() {
        assert!(again.len() <= data.len() + 64, "what is written does not grow");
    }
    // A sealed token is its payload's, and its purpose's, and changed in one place nobody's.
    let Some((&at, payload)) = data.split_first() else { return };
    let Some(mut token) = fuzzing::seal_question(&KEYS, payload) else { return };
    assert_eq!(fuzzing::open_state(&KEYS, &token), None, "for another purpose");
    if token.len() <= 1024 {
        assert_eq!(fuzzing::open_question(&KEYS, &token).as_deref(), Some(payload));
    }
    let at = usize::from(at) % token.len();
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    token.replace_range(at..=at, other);
    assert_ne!(fuzzing::open_question(&KEYS, &token).as_deref(), Some(payload), "changed at {at}");
});
