//! What a server answers an HTTP request with: how it is cut changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_gateway::fuzzing;

fuzz_target!(|data: &[u8]| {
    let Some((&step, words)) = data.split_first() else { return };
    let whole = fuzzing::answer(words, words.len());
    assert_eq!(whole, fuzzing::answer(words, usize::from(step)));
});
