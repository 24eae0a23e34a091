//! Relays a response that is one JSON text: converted whole if it is small, else edited while it passes.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_core::{BoxError, Result};
use portolan_wire::{
    envelope::{self, Message},
    rewrite::{MessageHead, MessageKind, ResponseStream},
};

use crate::{
    calls::{beginning::Beginning, in_flight::InFlightCall, timeout::WaitError},
    config::ClientLimits,
    conversion::{Conversion, Converted, is_beyond},
    http1::body::ResponseBody,
};

/// Responses up to this size are converted as a whole.
const SMALL: usize = 16 * 1024;
/// The size of the head of a larger response that is parsed.
const HEAD: usize = 1024;

/// Relays the body of a JSON response. `length` says whether the server announced its length.
pub(crate) async fn relay(
    mut body: ResponseBody,
    length: bool,
    mut in_flight: Box<InFlightCall>,
    limits: &ClientLimits,
) -> Result<JsonBeginning> {
    let most = limits.message_bytes;
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(in_flight
            .conversion
            .protocol_error(format!("its response is larger than {most} bytes")));
    }
    let mut held = VecDeque::new();
    let mut size = 0;
    while size <= SMALL && !body.is_end_stream() {
        let frame = match in_flight.timeout.wait(pin!(body.frame())).await {
            Ok(frame) => frame,
            Err(over) => return Ok(JsonBeginning::Reply(Beginning::Over(in_flight.give_up(over)))),
        };
        let Some(frame) = frame else { break };
        in_flight.timeout.renew();
        let Ok(data) = frame.map_err(|_| broke_off(&in_flight.conversion))?.into_data() else {
            continue;
        };
        size += data.len();
        held.push_back(data);
    }
    if size > SMALL {
        if !in_flight.conversion.holds() {
            match begin(held, &in_flight.conversion) {
                Ok(begun) => return pass(body, length, begun, size, in_flight, limits).map(JsonBeginning::Reply),
                Err(as_it_came) => held = as_it_came,
            }
        }
        if let Err(over) = collect(&mut body, &mut held, size, limits.held_bytes, &mut in_flight).await? {
            return Ok(JsonBeginning::Reply(Beginning::Over(in_flight.give_up(over))));
        }
    }
    let text = join(held);
    if is_batch(&text) {
        return Ok(JsonBeginning::Batch(text, in_flight));
    }
    in_flight.cancel_on_drop.answered();
    let whole = whole(&text, &in_flight.conversion)?;
    Ok(JsonBeginning::Reply(Beginning::Whole(whole)))
}

/// What a JSON body turned out to be.
#[derive(Debug)]
pub(crate) enum JsonBeginning {
    /// A response.
    Reply(Beginning<Box<JsonRelay>>),
    /// Several messages, of which the response is one (2025-03-26).
    Batch(Bytes, Box<InFlightCall>),
}

/// Returns `true` for a JSON array.
fn is_batch(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"[")
}

/// The part of a response that has arrived, and the edit of the rest. Without an edit, the rest passes unchanged.
type Begun = (VecDeque<Bytes>, Option<ResponseStream>);

/// Passes on a response that is too large to be converted as a whole.
fn pass(
    body: ResponseBody,
    announced: bool,
    (queue, stream): Begun,
    size: usize,
    mut in_flight: Box<InFlightCall>,
    limits: &ClientLimits,
) -> Result<Beginning<Box<JsonRelay>>> {
    let over = body.is_end_stream();
    if over {
        in_flight.cancel_on_drop.answered();
    }
    if over && stream.is_none() {
        return Ok(Beginning::Whole(Converted::Message(join(queue))));
    }
    let mut relay = JsonRelay {
        body,
        queue,
        length_known: announced && stream.is_none(),
        stream,
        size,
        limit: limits.message_bytes,
        in_flight,
        over,
    };
    if over {
        // It is complete already, so its length is known after the edit.
        relay
            .finish()
            .map_err(|fault| portolan_core::Error::backend("the server", "answer in JSON", fault))?;
        relay.length_known = true;
    }
    Ok(Beginning::Relay(Box::new(relay)))
}

/// Starts to edit a response, if its head says that it is a result for this call; else gives it back. If only
/// its id changes, that is spliced into its first chunk, and the rest needs no edit.
fn begin(held: VecDeque<Bytes>, conversion: &Conversion) -> Result<Begun, VecDeque<Bytes>> {
    let mut held = held;
    if let Some(first) = held.front_mut()
        && let Some((head, rest)) = passing_at_once(first, conversion)
    {
        *first = rest;
        held.push_front(head);
        return Ok((held, None));
    }
    let mut stream = conversion.stream();
    let mut queue = VecDeque::with_capacity(held.len() + 2);
    let mut chunks = held.iter().cloned();
    let mut first = chunks.next().unwrap_or_default();
    // The head decides.
    let head = first.split_to(first.len().min(HEAD));
    if stream.push(head, &mut queue).is_err() {
        return Err(held);
    }
    for chunk in std::iter::once(first).chain(chunks) {
        if stream.push(chunk, &mut queue).is_err() {
            return Err(held);
        }
    }
    if is_ours(stream.head(), conversion) {
        Ok((queue, Some(stream)))
    } else {
        Err(held)
    }
}

/// If the first bytes show a result of this call of which only the id changes, returns its head with the client's id, and
/// the rest: the order in which most servers write it. Others have to be parsed.
fn passing_at_once(first: &Bytes, conversion: &Conversion) -> Option<(Bytes, Bytes)> {
    const HEAD: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
    const RESULT: &[u8] = br#","result":{"#;
    let members = first
        .strip_prefix(HEAD)?
        .strip_prefix(conversion.sent.as_raw())?
        .strip_prefix(RESULT)?;
    let complete = Bytes::from_static(br#""complete""#);
    let result_type = members.starts_with(br#""resultType":"complete","#).then_some(&complete);
    let answers = result_type.is_some() || members.starts_with(br#""content":["#);
    let passes = flows(result_type, answers, conversion) && conversion.passes(result_type);
    passes.then(|| {
        let head = [HEAD, conversion.id.as_raw(), RESULT].concat();
        (head.into(), first.slice_ref(members))
    })
}

/// Returns `true` for the head of a result for this call, of a kind that may be streamed.
pub(crate) fn is_ours(head: &MessageHead, conversion: &Conversion) -> bool {
    let result_type = head.result_type.as_ref();
    head.kind == Some(MessageKind::Result)
        && head.id.as_ref() == Some(&conversion.sent)
        && flows(result_type, head.answers || result_type.is_some(), conversion)
}

/// Returns `true` if a result of this type may be streamed. One that may yet require input may not: its requests may be
/// long, and come before its type.
fn flows(result_type: Option<&Bytes>, is_told: bool, conversion: &Conversion) -> bool {
    !conversion.is_beyond(result_type) && !conversion.is_task(result_type) && (is_told || !conversion.may_end_asking())
}

async fn collect(
    body: &mut ResponseBody,
    held: &mut VecDeque<Bytes>,
    mut size: usize,
    limit: usize,
    in_flight: &mut InFlightCall,
) -> Result<Result<(), WaitError>> {
    loop {
        let frame = match in_flight.timeout.wait(pin!(body.frame())).await {
            Ok(Some(frame)) => frame.map_err(|_| broke_off(&in_flight.conversion))?,
            Ok(None) => return Ok(Ok(())),
            Err(over) => return Ok(Err(over)),
        };
        in_flight.timeout.renew();
        if let Ok(data) = frame.into_data() {
            size += data.len();
            held.push_back(data);
        }
        if size > limit {
            return Err(in_flight
                .conversion
                .protocol_error(format!("its response is larger than {limit} bytes")));
        }
    }
}

/// Converts a whole response.
pub(crate) fn whole(text: &Bytes, conversion: &Conversion) -> Result<Converted> {
    let limits = envelope::ParseLimits { depth: 1024, batch: 1 };
    match envelope::parse(text, &limits) {
        Ok(envelope::Incoming::One(Message::Response(response))) => converted(&response, conversion),
        Ok(_) => Err(conversion.protocol_error("its response is not a JSON-RPC response")),
        Err(fault) => Err(conversion.protocol_error(format!("its response cannot be parsed: {fault}"))),
    }
}

/// Converts a response.
pub(crate) fn converted(response: &envelope::Response, conversion: &Conversion) -> Result<Converted> {
    match &response.id {
        Some(id) if *id != conversion.sent => {
            Err(conversion.protocol_error("its response has the id of another request"))
        }
        None if matches!(response.outcome, envelope::Outcome::Result(_)) => {
            Err(conversion.protocol_error("its response has no id"))
        }
        _ => Ok(conversion.message(&response.outcome)),
    }
}

fn join(held: VecDeque<Bytes>) -> Bytes {
    if held.len() == 1 {
        return held.into_iter().next().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(held.iter().map(Bytes::len).sum());
    held.iter().for_each(|chunk| joined.extend_from_slice(chunk));
    joined.freeze()
}

pub(crate) fn broke_off(conversion: &Conversion) -> portolan_core::Error {
    portolan_core::Error::NotReady {
        what: "server",
        name: conversion.server.name.to_string(),
        failure: portolan_core::Failure::new(portolan_core::FailureKind::Connection, "its response broke off"),
    }
}

/// The body of a JSON response, as it arrives.
#[derive(Debug)]
pub struct JsonRelay {
    body: ResponseBody,
    queue: VecDeque<Bytes>,
    stream: Option<ResponseStream>,
    /// `true` if the client is told the length: nothing is edited, or all of the body is here.
    length_known: bool,
    size: usize,
    limit: usize,
    in_flight: Box<InFlightCall>,
    over: bool,
}

impl JsonRelay {
    fn take(&mut self, data: Bytes) -> Result<(), BoxError> {
        self.size += data.len();
        if self.size > self.limit {
            return Err(format!("the response is larger than {} bytes", self.limit).into());
        }
        self.in_flight.timeout.renew();
        match &mut self.stream {
            Some(stream) => stream.push(data, &mut self.queue)?,
            None => self.queue.push_back(data),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), BoxError> {
        self.over = true;
        self.in_flight.cancel_on_drop.answered();
        self.finish()
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        if let Some(stream) = self.stream.take() {
            let head = stream.finish()?;
            if is_beyond(self.in_flight.conversion.client, head.result_type.as_ref()) {
                return Err("the server requires input after the start of its result".into());
            }
        }
        Ok(())
    }
}

/// An error here breaks the client's connection off: half a response must not look like a whole one.
impl HttpBody for JsonRelay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(data) = this.queue.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if this.over {
                return Poll::Ready(None);
            }
            let taken = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame.into_data().map_or(Ok(()), |data| this.take(data)),
                Poll::Ready(Some(Err(fault))) => Err(fault.into()),
                Poll::Ready(None) => this.end(),
                Poll::Pending => match std::task::ready!(this.in_flight.timeout.poll(cx)) {
                    WaitError::Timeout(error) => {
                        this.in_flight.cancel_on_drop.cancel("the response took too long");
                        Err(error.into())
                    }
                    WaitError::Cancelled => {
                        this.in_flight.cancel_on_drop.cancel("the client cancelled the request");
                        Err("the client cancelled the request".into())
                    }
                },
            };
            if let Err(fault) = taken {
                this.over = true;
                tracing::warn!(error = %fault, "response broke off");
                return Poll::Ready(Some(Err(fault)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.queue.is_empty() && (self.over || (self.length_known && self.body.is_end_stream()))
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size_hint().exact() {
            Some(rest) if self.length_known => {
                SizeHint::with_exact(rest + self.queue.iter().map(|data| data.len() as u64).sum::<u64>())
            }
            _ => SizeHint::default(),
        }
    }
}
