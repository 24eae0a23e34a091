//! Messages of a call that now belong to another request of the same client.

use bytes::Bytes;
use portolan_wire::{
    envelope::{self, Incoming, Message, Outcome},
    error::ErrorObject,
    id::RequestId,
    method::Method,
    object::RawObject,
};

/// A message of a call for another request of the same client. Progress that it does not want is none.
pub fn retell(message: &Bytes, id: &RequestId, token: Option<&Bytes>) -> Option<Bytes> {
    match envelope::parse(message, &envelope::ParseLimits { depth: 1024, batch: 1 }).ok()? {
        Incoming::One(Message::Response(response)) => Some(match response.outcome {
            Outcome::Result(raw) => envelope::result(id, &raw),
            Outcome::Error(raw) => envelope::error(Some(id), &ErrorObject::parse(&raw)?),
        }),
        Incoming::One(Message::Notification(told)) if told.method == Method::Progress => {
            let mut params = RawObject::parse_checked(told.params.as_ref()?).ok()?;
            params.set("progressToken", token?.clone());
            Some(envelope::notification(&Method::Progress, Some(&params.to_bytes())))
        }
        _ => Some(message.clone()),
    }
}
