//! Sessions of legacy clients, in any order of moves: see `portolan_gateway::fuzzing::sessions`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|moves: &[u8]| portolan_gateway::fuzzing::sessions(moves));
