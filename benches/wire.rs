//! What the wire crate costs per message and per byte.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portolan_wire::{
    envelope::{self, ParseLimits},
    era::{self, ProtocolVersion},
    header,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
    rewrite::{Edit, ResponseStream, ResultType},
    sse::{Decoder, LineSplitter},
};

criterion_group!(benches, envelopes, objects, streams, headers, events);
criterion_main!(benches);

const PARAMS: &str = r#"{"name":"github__search_issues","arguments":{"query":"is:open label:bug"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":7}}"#;

/// A `tools/call` of about 290 bytes.
fn call() -> Bytes {
    envelope::request(&RequestId::from_u64(7), &Method::ToolsCall, Some(PARAMS.as_bytes()))
}

/// A response whose text is plain and `size` long.
fn plain(size: usize) -> Bytes {
    let text = "Lorem ipsum dolor sit amet, consectetur. ".repeat(size / 41 + 1);
    response(&object::quote(&text[..size]))
}

/// A response whose text is JSON in a string, so full of escaped quotes.
fn escaped(size: usize) -> Bytes {
    let text = r#"{"name":"a","count":1234,"ok":true},"#.repeat(size / 36 + 1);
    response(&object::quote(&text[..size]))
}

fn response(text: &[u8]) -> Bytes {
    let mut result = br#"{"content":[{"type":"text","text":"#.to_vec();
    result.extend_from_slice(text);
    result.extend_from_slice(br#"}],"isError":false,"resultType":"complete"}"#);
    envelope::result(&RequestId::from_u64(7), &result)
}

fn envelopes(c: &mut Criterion) {
    let limits = ParseLimits::default();
    let mut group = c.benchmark_group("envelope");
    for (name, text) in [
        ("request_290B", call()),
        ("response_1KiB", plain(1 << 10)),
        ("response_1MiB", plain(1 << 20)),
        ("response_1MiB_escaped", escaped(1 << 20)),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| envelope::parse(black_box(&text), &limits)));
    }
    let params = PARAMS.as_bytes();
    let id = RequestId::from_u64(7);
    group.bench_function("write_request", |b| {
        b.iter(|| envelope::request(black_box(&id), &Method::ToolsCall, Some(params)));
    });
    group.finish();
}

fn objects(c: &mut Criterion) {
    let params = Bytes::from_static(PARAMS.as_bytes());
    let name = Bytes::from_static(b"\"search_issues\"");
    c.bench_function("object/edit_call_params", |b| {
        b.iter(|| {
            let mut object = RawObject::parse(black_box(&params)).expect("an object");
            object.set("name", name.clone());
            object.to_bytes()
        });
    });
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    for (name, text, chunk) in [
        ("64B", plain(64), usize::MAX),
        ("64KiB", plain(1 << 16), 1 << 14),
        ("1MiB", plain(1 << 20), 1 << 16),
        ("1MiB_escaped", escaped(1 << 20), 1 << 16),
    ] {
        let chunks: Vec<Bytes> = split(&text, chunk);
        for (mode, result_type) in [("ensure", ResultType::Ensure), ("strip", ResultType::Strip)] {
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(format!("{name}/{mode}"), |b| {
                let mut out: Vec<Bytes> = Vec::with_capacity(64);
                b.iter(|| {
                    out.clear();
                    let id = RequestId::from_u64(123);
                    let mut stream = ResponseStream::new(Edit { id, result_type });
                    for chunk in &chunks {
                        stream.push(chunk.clone(), &mut out).expect("a sound response");
                    }
                    stream.finish().expect("a whole response")
                });
            });
        }
    }
    group.finish();
}

fn headers(c: &mut Criterion) {
    let mut map = http::HeaderMap::new();
    map.insert(header::PROTOCOL_VERSION, http::HeaderValue::from_static("2026-07-28"));
    let params = RawObject::parse(&Bytes::from_static(PARAMS.as_bytes())).expect("an object");
    header::write_mirrors(&mut map, &Method::ToolsCall, &params);
    c.bench_function("header/check_mirrors", |b| {
        b.iter(|| header::check_mirrors(black_box(&map), &Method::ToolsCall, &params, true));
    });
    let text = call();
    let Ok(envelope::Incoming::One(message)) = envelope::parse(&text, &ParseLimits::default()) else {
        panic!("the call is one message");
    };
    c.bench_function("era/detect_client", |b| {
        b.iter(|| era::detect_client(black_box(&map), &message, &ProtocolVersion::ALL));
    });
}

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("sse");
    let small = Bytes::from(format!("event: message\ndata: {PARAMS}\n\n").repeat(100));
    let large = Bytes::from([b"data: ", &plain(1 << 20)[..], b"\n\n"].concat());
    for (name, text, chunk) in [
        ("decode_100_small", &small, 1 << 14),
        ("decode_1MiB_one_chunk", &large, usize::MAX),
        ("decode_1MiB_64KiB_chunks", &large, 1 << 16),
    ] {
        let chunks = split(text, chunk);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = Decoder::new(4 << 20);
                let mut count = 0;
                for chunk in &chunks {
                    decoder.push(chunk.clone());
                    while let Ok(Some(event)) = decoder.next_event() {
                        count += event.data.len();
                    }
                }
                count
            });
        });
    }
    let chunks = split(&large, 1 << 16);
    group.bench_function("split_1MiB_64KiB_chunks", |b| {
        b.iter(|| {
            let mut splitter = LineSplitter::default();
            let mut count = 0;
            for chunk in &chunks {
                splitter.push(chunk.clone());
                while let Some(piece) = splitter.next_piece() {
                    black_box(piece);
                    count += 1;
                }
            }
            count
        });
    });
    group.finish();
}

fn split(text: &Bytes, size: usize) -> Vec<Bytes> {
    let mut rest = text.clone();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        chunks.push(rest.split_to(size.min(rest.len())));
    }
    chunks
}
