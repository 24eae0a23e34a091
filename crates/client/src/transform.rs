//! What a relay changes in the responses that pass through this client.

use std::{fmt::Debug, sync::Arc};

use bytes::Bytes;
use portolan_wire::{
    era::Era,
    object::RawObject,
    rewrite::{JsonPath, StringPrefix},
};

use crate::session_ref::UpstreamSessionRef;

/// Rewrites the URIs of a server in its responses, so that a client can tell servers apart.
#[derive(Clone, Debug)]
pub struct UriRewrite {
    /// The text that is put in front of each URI.
    pub prefix: StringPrefix,
    /// Where URIs are in the `result` of the method; `None` if there are none.
    pub in_result: Option<JsonPath>,
    /// The same places, from the top of the response message.
    pub in_response: Option<JsonPath>,
    /// Where the URI is in the `data` of an error that says that a resource does not exist.
    pub in_error_data: JsonPath,
}

/// What a call has to do with tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskRole {
    /// The call may become a task, whose id is rewritten for the client.
    MayBecomeTask,
    /// The call may become a task, which the relay polls: the client knows no tasks.
    Polled,
    /// The request asks about a task that exists.
    Existing,
}

/// Rewrites task ids between a server and the client of a relay.
///
/// A relay gives its clients ids of its own, so that no client can use another's task. This client calls the transform for
/// each response, notification and server request of a call that has to do with tasks.
pub trait TaskIdTransform: Debug + Send + Sync {
    /// What the call has to do with tasks.
    fn role(&self) -> TaskRole;

    /// The transform for a call that goes to a legacy server in `session`; `None` if the call cannot become a task there.
    fn at_legacy(&self, session: Option<UpstreamSessionRef>) -> Option<Arc<dyn TaskIdTransform>>;

    /// The member `task` of the params, with which a legacy server is asked to run the call as a task.
    fn augmentation(&self) -> Option<Bytes>;

    /// Whether the relay polls the task that a legacy server makes of the call.
    fn polls_legacy_task(&self) -> bool;

    /// The session at a legacy server in which the existing task is.
    fn session(&self) -> Option<&UpstreamSessionRef>;

    /// The client's id, as JSON, of the task that the server calls `own`.
    fn client_id(&self, own: &str) -> Option<Bytes>;

    /// The `result` of a legacy server that created a task, as 2026-07-28 writes it; `None` if it created none.
    fn created(&self, result: &RawObject) -> Option<RawObject>;

    /// Replaces the server's task ids in the result of a server of era `upstream`; `None` if an id cannot be relayed.
    fn rewrite_result(&self, upstream: Era, result: &mut RawObject) -> Option<()>;

    /// Replaces the server's task ids in a notification of a legacy server.
    fn rewrite_notification(&self, message: Bytes) -> Bytes;
}
