//! What servers say outside of calls: that a list or a resource has changed.
//!
//! Each link has one [`NotificationFeed`] for each credential that it is listened to with. A hub follows its server only while
//! somebody listens, and for a grace time after that, in the one way that the server has: a GET stream in a session of
//! the hub's own (legacy HTTP), `subscriptions/listen` (modern HTTP), or what the owner of the pipes hears (channels).

pub(crate) mod channel;
mod cooperative_yield;
pub(crate) mod driver;
pub(crate) mod feed;
mod follow_end;
pub(crate) mod legacy;
mod listening;
pub(crate) mod modern;

pub(crate) use self::feed::NotificationFeeds;
pub use self::{
    feed::{GrantedFilter, NotificationFeed},
    listening::Listening,
    modern::{TASK_IDS, strings},
};
pub use crate::{
    http_server::{
        get_stream::{GetStream, StreamEvent},
        open_session::refuse_request,
    },
    server_notifications::{ListKind, NotificationFilter, NotificationSink, ServerNotification, of_uri},
};
