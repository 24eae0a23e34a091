//! The steps of a response: notifications, server requests, the response.

use bytes::Bytes;
use portolan_wire::id::RequestId;

use crate::{
    conversion::tasks::TaskCreated,
    request::UpstreamRequest,
    server_requests::{InputRequired, ServerRequest},
    session_ref::UpstreamSessionRef,
};

/// A step of a call.
#[derive(Debug)]
pub enum Step {
    /// A part of the client's event stream. The last one ends with the response.
    Frame(Bytes),
    /// A legacy server has sent a request and waits for its response.
    ServerRequest(ServerRequest),
    /// A modern server has ended the call and wants it sent again with input.
    InputRequired(InputRequired),
    /// The server has made a task of the call, which the relay has to poll.
    Task(TaskCreated),
}

/// A call whose stream was left, for any replica to resume.
#[derive(Clone, Debug)]
pub struct StreamCheckpoint {
    /// The session of the call.
    pub session_ref: UpstreamSessionRef,
    /// The id of the call at the server.
    pub call: RequestId,
    /// The id of the last event that was read.
    pub event: Bytes,
}

/// The request that resumes a call.
#[derive(Clone, Debug)]
pub struct ResumeRequest<'a> {
    /// The client's request.
    pub request: &'a UpstreamRequest<'a>,
    /// The progress token of the request.
    pub token: Option<Bytes>,
    /// The ids of the server requests that the client has got already.
    pub known: Vec<RequestId>,
}
