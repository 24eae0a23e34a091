//! A response edited in passing: how it is cut into chunks changes nothing, and JSON stays JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use portolan_wire::{
    id::RequestId,
    rewrite::{Edit, MessageHead, StringPrefix, JsonPath, ResponseStream, ResultType, StreamError},
};

const PLACE: JsonPath = JsonPath::Members(&[(
    "result",
    JsonPath::Members(&[("content", JsonPath::Members(&[("uri", JsonPath::Here)]))]),
)]);

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, size], text)) = data.split_first_chunk::<2>() else { return };
    let result_type = match kind % 3 {
        0 => ResultType::Keep,
        1 => ResultType::Ensure,
        _ => ResultType::Strip,
    };
    let inserts = kind & 4 != 0;
    let whole = edit(text, text.len().max(1), result_type, inserts);
    let cut = edit(text, usize::from(size).max(1), result_type, inserts);
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(_), Err(_)) => {}
        _ => panic!("the cut matters: {whole:?} {cut:?}"),
    }
    let is_json = |text: &[u8]| serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok();
    if let Ok((out, _)) = whole
        && is_json(text)
    {
        assert!(is_json(&out), "JSON in, and this out: {}", String::from_utf8_lossy(&out));
    }
});

fn edit(text: &[u8], size: usize, result_type: ResultType, inserts: bool) -> Result<(Vec<u8>, MessageHead), StreamError> {
    let id = RequestId::from_u64(7);
    let mut stream = ResponseStream::new(Edit { id, result_type });
    if inserts {
        stream = stream.inserting(PLACE, StringPrefix::front("x+").or_behind("ui://", "x/"));
    }
    let mut out: Vec<Bytes> = Vec::new();
    for chunk in text.chunks(size) {
        stream.push(Bytes::copy_from_slice(chunk), &mut out)?;
    }
    Ok((out.concat(), stream.finish()?))
}
