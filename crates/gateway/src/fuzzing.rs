//! Sealed tokens and their payloads, for fuzz targets and benchmarks.

use crate::{
    TokenKeys,
    question::{QuestionId, State},
    seal::Purpose,
};

/// Seals the id of a question with `payload`.
pub fn seal_question(keys: &TokenKeys, payload: &[u8]) -> Option<String> {
    keys.seal(Purpose::Question, payload).ok()
}

/// Opens the id of a question: its payload, if it was sealed with these keys.
pub fn open_question(keys: &TokenKeys, token: &str) -> Option<Vec<u8>> {
    keys.open(Purpose::Question, token)
}

/// Seals a request state with `payload`.
pub fn seal_state(keys: &TokenKeys, payload: &[u8]) -> Option<String> {
    keys.seal(Purpose::State, payload).ok()
}

/// Opens a request state: its payload, if it was sealed with these keys.
pub fn open_state(keys: &TokenKeys, token: &str) -> Option<Vec<u8>> {
    keys.open(Purpose::State, token)
}

/// Reads and writes the payload of a question's id: the same bytes mean the same. `None` if it is none.
pub fn question_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = QuestionId::decode(payload)?;
    let written = read.encode();
    assert_eq!(QuestionId::decode(&written), Some(read), "what is written is read");
    Some(written)
}

/// The same for a request state.
pub fn state_again(payload: &[u8]) -> Option<Vec<u8>> {
    let read = State::decode(payload)?;
    let written = read.encode();
    assert_eq!(State::decode(&written), Some(read), "what is written is read");
    Some(written)
}
