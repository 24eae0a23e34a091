//! The steps of an answer: what a server says, asks, and answers in the end.

use bytes::Bytes;
use portolan_wire::id::RequestId;

use crate::{
    conversion::tasks::TaskCreated,
    request::UpstreamRequest,
    server_requests::{InputRequired, ServerRequest},
    session_ref::UpstreamSessionRef,
};

/// One step of an answer.
#[derive(Debug)]
pub enum Step {
    /// A piece of the client's event stream. The last one ends with the answer.
    Frame(Bytes),
    /// A legacy server asks something, and waits.
    ServerRequest(ServerRequest),
    /// A modern server has ended the call, and wants it made again with answers.
    InputRequired(InputRequired),
    /// It has made a task of the call, which the gateway is to drive.
    Task(TaskCreated),
}

/// A call whose stream was left.
#[derive(Clone, Debug)]
pub struct StreamCheckpoint {
    /// In which session it is.
    pub session_ref: UpstreamSessionRef,
    /// The id that it was sent with.
    pub call: RequestId,
    /// The last event that was read.
    pub event: Bytes,
}

/// Whose a call that was left is now.
#[derive(Clone, Debug)]
pub struct ResumeRequest<'a> {
    /// The request that came back.
    pub request: &'a UpstreamRequest<'a>,
    /// Its progress token.
    pub token: Option<Bytes>,
    /// What the server has asked already.
    pub known: Vec<RequestId>,
}
