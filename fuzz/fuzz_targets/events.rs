//! A server's stream of events on its way to a client: how it is cut changes nothing, and there is one end to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_gateway::fuzzing;

fuzz_target!(|data: &[u8]| {
    let Some((&size, data)) = data.split_first() else { return };
    let whole = fuzzing::events(data, data.len().max(1));
    let cut = fuzzing::events(data, usize::from(size).max(1));
    assert_eq!(whole, cut);
});
