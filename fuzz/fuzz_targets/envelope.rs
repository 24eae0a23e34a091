//! One message in: what is taken is JSON, nothing is made up, and what is written reads the same again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use portolan_wire::{
    envelope::{self, Incoming, ParseLimits, Message, Outcome},
    error::ErrorObject,
    object::RawObject,
};

fuzz_target!(|data: &[u8]| {
    let text = Bytes::copy_from_slice(data);
    match envelope::parse(&text, &ParseLimits::default()) {
        Ok(Incoming::One(message)) => check(&text, &message),
        Ok(Incoming::Batch(messages)) => messages.iter().for_each(|message| check(&text, message)),
        Err(error) => drop(error.object()),
    }
    if let Ok(object) = RawObject::parse_checked(&text) {
        let written = object.to_bytes();
        let again = RawObject::parse_checked(&written).expect("what was written");
        assert!(again.iter().eq(object.iter()), "members change on their way");
    }
});

fn check(text: &Bytes, message: &Message) {
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok(), "taken, but no JSON");
    let written = match message {
        Message::Request(request) => envelope::request(&request.id, &request.method, request.params.as_deref()),
        Message::Notification(told) => envelope::notification(&told.method, told.params.as_deref()),
        Message::Response(response) => match (&response.id, &response.outcome) {
            (Some(id), Outcome::Result(raw)) => envelope::result(id, raw),
            (id, Outcome::Error(raw)) => {
                let Some(error) = ErrorObject::parse(raw) else { return };
                drop(envelope::error(id.as_ref(), &error));
                return;
            }
            (None, Outcome::Result(_)) => unreachable!("a result has an id"),
        },
    };
    let again = match envelope::parse(&written, &ParseLimits { depth: 4096, ..ParseLimits::default() }) {
        Ok(Incoming::One(again)) => again,
        other => panic!("what was written does not read: {other:?}"),
    };
    assert_eq!(again.method(), message.method());
    assert_eq!(again.id(), message.id());
    assert_eq!(again.params(), message.params());
}
