use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn chunks(text: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| Bytes::copy_from_slice(&text[pair[0]..pair[1]]))
        .collect()
}

fn events(text: &[u8], cuts: &[usize], limit: usize) -> Result<Vec<Event>, EventTooLarge> {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for chunk in chunks(text, cuts) {
        decoder.push(chunk);
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn lines(text: &[u8], cuts: &[usize], max_short: usize) -> Vec<Vec<u8>> {
    let mut splitter = LineSplitter::new(max_short);
    let mut lines = Vec::new();
    let mut long: Option<Vec<u8>> = None;
    for chunk in chunks(text, cuts) {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece() {
            match piece {
                LinePart::Line(line) => {
                    assert!(long.is_none() && line.len() <= max_short);
                    lines.push(line.to_vec());
                }
                LinePart::LineStart(start) => {
                    assert!(long.is_none() && start.len() >= 61);
                    long = Some(start.to_vec());
                }
                LinePart::LinePart(part) => long.as_mut().unwrap().extend_from_slice(&part),
                LinePart::LineEnd => {
                    let line = long.take().unwrap();
                    assert!(line.len() + 3 > max_short);
                    lines.push(line);
                }
            }
        }
    }
    lines
}

#[test]
fn lines_end_three_ways() {
    let text = b"\xef\xbb\xbfa\nb\r\n\rc\r\r\nd";
    let expected: Vec<&[u8]> = vec![b"a", b"b", b"", b"c", b""];
    assert_eq!(lines(text, &[], 64), expected);
    let each: Vec<usize> = (0..text.len()).collect();
    assert_eq!(lines(text, &each, 64), expected);
}

#[test]
fn event_fields() {
    let text = b": hello\nevent: message\nid: 7\nretry: 250\nignored\ndata: a\ndata:  b\ndata\n\n";
    let event = events(text, &[], 100).unwrap().remove(0);
    assert_eq!(event.event.as_deref(), Some("message"));
    assert_eq!(event.id.as_deref(), Some("7"));
    assert_eq!(event.retry, Some(250));
    assert_eq!(&event.data[..], b"a\n b\n");
}

#[test]
fn single_line_data_is_not_copied() {
    let chunk = Bytes::from(format!("data: {}\n\n", "x".repeat(100_000)));
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(chunk.clone());
    let event = decoder.next_event().unwrap().unwrap();
    assert_eq!(event.data.as_ptr(), chunk[6..].as_ptr());
    assert_eq!(event.data.len(), 100_000);
}

#[test]
fn comments_and_cut_off_events_are_dropped() {
    assert_eq!(events(b":\n\n:\n\ndata: x\n", &[], 100).unwrap(), []);
    let comment = format!(":{}\n\n", "x".repeat(100_000));
    assert_eq!(events(comment.as_bytes(), &[], 100).unwrap(), []);
}

#[test]
fn a_priming_event_is_one() {
    let event = events(&priming("e-1", Some(5)), &[], 100).unwrap().remove(0);
    assert_eq!(
        (event.id.as_deref(), event.retry, event.data.len()),
        (Some("e-1"), Some(5), 0)
    );
}

#[test]
fn event_written_in_pieces() {
    let pieces = [
        &id_line("e-1")[..],
        EVENT_START,
        b"{}",
        EVENT_END,
        &retry(20),
        b"data: x\n\n",
    ];
    let seen = events(&pieces.concat(), &[], 100).unwrap();
    let fields: Vec<_> = seen
        .iter()
        .map(|event| (event.id.as_deref(), event.retry, &event.data[..]))
        .collect();
    assert_eq!(
        fields,
        [
            (Some("e-1"), None, &b"{}"[..]),
            (None, Some(20), b""),
            (None, None, b"x"),
        ]
    );
    assert_eq!(&id_line("a\n\u{0}b")[..], b"id: ab\n", "an id cannot end its field");
    assert!(retry(20).starts_with(RETRY));
}

#[test]
fn oversized_event_ends_stream() {
    for text in [
        format!("data: {}\n\n", "x".repeat(101)),
        format!("data: {}\n\n", "x".repeat(100_000)),
        "data: xxxxxxxxx\n".repeat(12),
        format!("event: {}\n\n", "x".repeat(100_000)),
    ] {
        assert_eq!(events(text.as_bytes(), &[], 100), Err(EventTooLarge { limit: 100 }));
    }
    let mut decoder = Decoder::new(1);
    decoder.push(Bytes::from_static(b"data: xx\n\ndata: x\n\n"));
    assert!(decoder.next_event().is_err());
    assert!(decoder.next_event().is_err());
}

#[test]
fn what_is_written_reads_back() {
    let event = &events(&event_with_id("a\nb", b"{\n \"a\": 1}"), &[], 100).unwrap()[0];
    assert_eq!(event.id.as_deref(), Some("ab"));
    assert_eq!(event.event.as_deref(), Some("message"));
    assert_eq!(&event.data[..], br#"{ "a": 1}"#);
    assert_eq!(&super::event(b"{}")[..], b"event: message\ndata: {}\n\n");
}

proptest! {
    #[test]
    fn chunks_never_matter_to_events(
        text in "(data: ?|data|event: x|id: ?|retry: 12|:|\n|\r\n|\r|\n\n|é|x{1,90}|\u{feff}){0,40}",
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        prop_assert_eq!(events(text.as_bytes(), &cuts, 200), events(text.as_bytes(), &[], 200));
    }

    #[test]
    fn chunks_never_matter_to_lines(
        text in "(x{1,90}|\n|\r\n|\r){0,20}",
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let whole = lines(text.as_bytes(), &[], 64);
        prop_assert_eq!(&lines(text.as_bytes(), &cuts, 64), &whole);
        let normal = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut expected: Vec<&str> = normal.split('\n').collect();
        expected.pop();
        prop_assert_eq!(whole, expected.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}
