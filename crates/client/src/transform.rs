//! The changes that a relay makes to responses.

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
    /// The prefix of each URI.
    pub prefix: StringPrefix,
    /// The position of URIs in the `result` of the method; `None` if it has none.
    pub in_result: Option<JsonPath>,
    /// The same position, from the top of the response message.
    pub in_response: Option<JsonPath>,
    /// The position of the URI in the `data` of an error for an unknown resource.
    pub in_error_data: JsonPath,
}

/// The relation of a call to tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskRole {
    /// The call may become a task, whose id is rewritten for the client.
    MayBecomeTask,
    /// The call may become a task, which the relay polls: the client has no tasks.
    Polled,
    /// The request is about an existing task.
    Existing,
}

/// Rewrites task ids between a server and the client of a relay.
///
/// A relay gives its clients ids of its own, so that no client can use another's task. This client calls the transform for
/// each response, notification and server request of a call that has to do with tasks.
///
/// ```
/// use std::sync::Arc;
/// use bytes::Bytes;
/// use portolan_client::{Era, TaskIdTransform, TaskRole, UpstreamSessionRef};
/// use portolan_wire::object::RawObject;
///
/// /// Leaves the ids of a modern server as they are, for a relay with one client.
/// #[derive(Debug)]
/// struct Unchanged;
///
/// impl TaskIdTransform for Unchanged {
///     fn role(&self) -> TaskRole {
///         TaskRole::MayBecomeTask
///     }
///     fn at_legacy(&self, _: Option<UpstreamSessionRef>) -> Option<Arc<dyn TaskIdTransform>> {
///         None
///     }
///     fn augmentation(&self) -> Option<Bytes> {
///         None
///     }
///     fn polls_legacy_task(&self) -> bool {
///         false
///     }
///     fn session(&self) -> Option<&UpstreamSessionRef> {
///         None
///     }
///     fn client_id(&self, own: &str) -> Option<Bytes> {
///         Some(format!("{own:?}").into())
///     }
///     fn created(&self, _: &RawObject) -> Option<RawObject> {
///         None
///     }
///     fn rewrite_result(&self, _: Era, _: &mut RawObject) -> Option<()> {
///         Some(())
///     }
///     fn rewrite_notification(&self, message: Bytes) -> Bytes {
///         message
///     }
/// }
///
/// assert_eq!(Unchanged.client_id("7").expect("an id"), r#""7""#);
/// ```
pub trait TaskIdTransform: Debug + Send + Sync {
    /// Returns the relation of the call to tasks.
    fn role(&self) -> TaskRole;

    /// Returns the transform for a call to a legacy server in `session`; `None` if the call cannot become a task there.
    fn at_legacy(&self, session: Option<UpstreamSessionRef>) -> Option<Arc<dyn TaskIdTransform>>;

    /// Returns the member `task` of the params, with which a legacy server is asked to run the call as a task.
    fn augmentation(&self) -> Option<Bytes>;

    /// Returns `true` if the relay polls the task that a legacy server makes of the call.
    fn polls_legacy_task(&self) -> bool;

    /// Returns the session of the existing task at a legacy server.
    fn session(&self) -> Option<&UpstreamSessionRef>;

    /// Returns the client's id, as JSON, for the server's id `own`.
    fn client_id(&self, own: &str) -> Option<Bytes>;

    /// Converts the `result` of a legacy server that created a task to the form of 2026-07-28; `None` if it created none.
    fn created(&self, result: &RawObject) -> Option<RawObject>;

    /// Replaces the server's task ids in the result of a server of era `upstream`; `None` if an id cannot be relayed.
    fn rewrite_result(&self, upstream: Era, result: &mut RawObject) -> Option<()>;

    /// Replaces the server's task ids in a notification of a legacy server.
    fn rewrite_notification(&self, message: Bytes) -> Bytes;
}
