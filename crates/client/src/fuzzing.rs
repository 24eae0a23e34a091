//! What fuzz targets see of the inside: answers and event streams of servers.

use bytes::Bytes;
use portolan_wire::{era::Era, id::RequestId, method::Method};

pub use crate::http1::test_io::heard;
use crate::{
    calls::{steps::Step, streamable_http::events::converter::EventStreamConverter},
    capabilities::ClientCapabilities,
    conversion::Conversion,
};

/// What comes of a server's event stream for a client, in pieces of `size` bytes: all that it is sent, all that is asked,
/// and whether the stream broke off. The first byte says which eras speak.
pub fn events(data: &[u8], size: usize) -> (Vec<u8>, usize, bool) {
    let Some((kind, stream)) = data.split_first() else {
        return Default::default();
    };
    let era = |bit: u8| if kind & bit == 0 { Era::Legacy } else { Era::Modern };
    let method = if kind & 4 == 0 {
        Method::ToolsCall
    } else {
        Method::PromptsGet
    };
    let all = br#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#;
    let capabilities = if kind & 8 == 0 {
        ClientCapabilities::NONE
    } else {
        ClientCapabilities::read(&Bytes::from_static(all))
    };
    let id = RequestId::from_u64(1);
    let conversion = Conversion::plain(Some(era(1)), era(2), method, id, capabilities);
    let mut converter = EventStreamConverter::new(conversion, 4096, 1 << 20);
    for chunk in stream.chunks(size.max(1)) {
        converter.push(Bytes::copy_from_slice(chunk));
    }
    converter.end();
    let (mut sent, mut asked) = (Vec::new(), 0);
    while let Some(step) = converter.pop() {
        match step {
            Step::Frame(frame) => sent.extend_from_slice(&frame),
            Step::ServerRequest(_) | Step::InputRequired(_) | Step::Task(_) => asked += 1,
        }
    }
    (sent, asked, converter.broken().is_some())
}
