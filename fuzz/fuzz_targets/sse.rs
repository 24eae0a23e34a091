//! Event streams: how one is cut into chunks changes nothing, and what is written reads the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use portolan_wire::sse::{self, Decoder, LinePart, LineSplitter};

fuzz_target!(|data: &[u8]| {
    let Some((&size, text)) = data.split_first() else { return };
    let size = usize::from(size).max(1);
    assert_eq!(decoded(text, text.len().max(1)), decoded(text, size));
    assert_eq!(lines(text, text.len().max(1)), lines(text, size));

    let event = sse::event(text);
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(event);
    if text.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
        let read = decoder.next_event().expect("small").expect("an event");
        assert!(!read.data.contains(&b'\r'), "a carriage return ends a line");
    }
});

/// All events, and whether one was too large.
fn decoded(text: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::new(64);
    let mut events = Vec::new();
    for chunk in text.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event.data.to_vec()),
                Ok(None) => break,
                Err(_) => return (events, true),
            }
        }
    }
    (events, false)
}

/// All lines, whole, however long.
fn lines(text: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut splitter = LineSplitter::new(16);
    let (mut lines, mut long) = (Vec::new(), Vec::new());
    for chunk in text.chunks(size) {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(piece) = splitter.next_piece() {
            match piece {
                LinePart::Line(line) => lines.push(line.to_vec()),
                LinePart::LineStart(part) | LinePart::LinePart(part) => long.extend_from_slice(&part),
                LinePart::LineEnd => lines.push(std::mem::take(&mut long)),
            }
        }
    }
    lines
}
