//! An answer that is one JSON text: converted whole when it is small, else edited while it passes by.

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

/// Answers up to this size are looked at whole.
const SMALL: usize = 16 * 1024;
/// The head of a larger one.
const HEAD: usize = 1024;

/// Relays the body of a JSON answer. `length` says whether the server announced its length.
pub(crate) async fn relay(
    mut body: ResponseBody,
    length: bool,
    mut in_flight: Box<InFlightCall>,
    limits: &ClientLimits,
) -> Result<Beginning<Box<JsonRelay>>> {
    let most = limits.message_bytes;
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(in_flight
            .conversion
            .protocol_error(format!("its answer is larger than {most} bytes")));
    }
    let mut held = VecDeque::new();
    let mut size = 0;
    while size <= SMALL && !body.is_end_stream() {
        let frame = match in_flight.timeout.wait(pin!(body.frame())).await {
            Ok(frame) => frame,
            Err(over) => return Ok(Beginning::Over(in_flight.give_up(over))),
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
                Ok(begun) => return pass(body, length, begun, size, in_flight, limits),
                Err(as_it_came) => held = as_it_came,
            }
        }
        if let Err(over) = collect(&mut body, &mut held, size, limits.held_bytes, &mut in_flight).await? {
            return Ok(Beginning::Over(in_flight.give_up(over)));
        }
    }
    in_flight.cancel_on_drop.answered();
    Ok(Beginning::Whole(whole(&join(held), &in_flight.conversion)?))
}

/// What is there of an answer that passes by, and what edits the rest. Without an edit, it passes as it stands.
type Begun = (VecDeque<Bytes>, Option<ResponseStream>);

/// Lets an answer pass that is too large to be looked at whole.
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
    if over && stream.is_none() && queue.len() == 1 {
        let message = queue.into_iter().next().unwrap_or_default();
        return Ok(Beginning::Whole(Converted::Message(message)));
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
        // All of it is there already, so its length is known whatever was edited.
        relay
            .finish()
            .map_err(|fault| portolan_core::Error::backend("the server", "answer in JSON", fault))?;
        relay.length_known = true;
    }
    Ok(Beginning::Relay(Box::new(relay)))
}

/// Begins to edit an answer, if its head says that it is a result for this call; else gives it back. Without an edit, it
/// passes as it stands.
fn begin(held: VecDeque<Bytes>, conversion: &Conversion) -> Result<Begun, VecDeque<Bytes>> {
    if held.front().is_some_and(|first| passes_at_once(first, conversion)) {
        return Ok((held, None));
    }
    let mut stream = conversion.stream();
    let mut queue = VecDeque::with_capacity(held.len() + 2);
    let mut chunks = held.iter().cloned();
    let mut first = chunks.next().unwrap_or_default();
    // What tells is at the beginning; the rest need not be read if it passes as it stands.
    let head = first.split_to(first.len().min(HEAD));
    if stream.push(head, &mut queue).is_err() {
        return Err(held);
    }
    if is_ours(stream.head(), conversion) && conversion.passes(stream.head().result_type.as_ref()) {
        return Ok((held, None));
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

/// Whether an answer is known by its first bytes for a result of this call that passes as it stands: the order in which
/// most servers write it. What begins otherwise has to be read.
fn passes_at_once(first: &[u8], conversion: &Conversion) -> bool {
    let members = first
        .strip_prefix(br#"{"jsonrpc":"2.0","id":"#)
        .and_then(|rest| rest.strip_prefix(conversion.sent.as_raw()))
        .and_then(|rest| rest.strip_prefix(br#","result":{"#));
    let Some(members) = members else { return false };
    let complete = Bytes::from_static(br#""complete""#);
    let result_type = members.starts_with(br#""resultType":"complete","#).then_some(&complete);
    let answers = result_type.is_some() || members.starts_with(br#""content":["#);
    flows(result_type, answers, conversion) && conversion.passes(result_type)
}

/// Whether a head is that of a result for this call, of a kind that may be streamed.
pub(crate) fn is_ours(head: &MessageHead, conversion: &Conversion) -> bool {
    let result_type = head.result_type.as_ref();
    head.kind == Some(MessageKind::Result)
        && head.id.as_ref() == Some(&conversion.sent)
        && flows(result_type, head.answers || result_type.is_some(), conversion)
}

/// Whether a result of this type may be streamed. One that may yet turn out to ask for input is none: its questions may be
/// long, and come before it says what it is.
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
                .protocol_error(format!("its answer is larger than {limit} bytes")));
        }
    }
}

/// Converts a whole answer.
pub(crate) fn whole(text: &Bytes, conversion: &Conversion) -> Result<Converted> {
    let limits = envelope::ParseLimits { depth: 1024, batch: 1 };
    let message = match envelope::parse(text, &limits) {
        Ok(envelope::Incoming::One(Message::Response(response))) => response,
        Ok(_) => return Err(conversion.protocol_error("it answered with something that is no JSON-RPC response")),
        Err(fault) => return Err(conversion.protocol_error(format!("its answer cannot be read: {fault}"))),
    };
    match &message.id {
        Some(id) if *id != conversion.sent => {
            Err(conversion.protocol_error("it answered under the id of another call"))
        }
        None if matches!(message.outcome, envelope::Outcome::Result(_)) => {
            Err(conversion.protocol_error("its answer has no id"))
        }
        _ => Ok(conversion.message(&message.outcome, Some(text))),
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
        failure: portolan_core::Failure::new(portolan_core::FailureKind::Connection, "its answer broke off"),
    }
}

/// An answer that passes by.
#[derive(Debug)]
pub struct JsonRelay {
    body: ResponseBody,
    queue: VecDeque<Bytes>,
    stream: Option<ResponseStream>,
    /// The client is told the length: nothing is edited, or all of it is there.
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
            return Err(format!("the answer is larger than {} bytes", self.limit).into());
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
                return Err("the server asks for more input too late to be heard".into());
            }
        }
        Ok(())
    }
}

/// An error here breaks the client's connection off: half an answer must not look like a whole one.
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
                        this.in_flight.cancel_on_drop.cancel("the answer took too long");
                        Err(error.into())
                    }
                    WaitError::Cancelled => {
                        this.in_flight.cancel_on_drop.cancel("the client has cancelled");
                        Err("the client has cancelled".into())
                    }
                },
            };
            if let Err(fault) = taken {
                this.over = true;
                tracing::warn!(error = %fault, "an answer broke off on its way");
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
