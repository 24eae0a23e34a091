//! What a server says outside of calls, and what of it somebody wants to be told.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use bytes::Bytes;
use portolan_wire::{
    envelope::Notification,
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};

/// A kind of list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    Tools,
    Prompts,
    Resources,
}

/// Something that a server said outside of calls.
#[derive(Clone, Debug)]
pub enum ServerNotification {
    /// A list is another one now.
    List(ListKind),
    /// A resource is another one now.
    Updated {
        /// Which.
        uri: Arc<str>,
        /// The params of the notification, raw.
        params: Bytes,
    },
    /// A log message.
    Log {
        /// Its level.
        level: LogLevel,
        /// The params of the notification, raw.
        params: Bytes,
    },
    /// What was asked by URL is done (2025-11-25); the params of the notification, raw.
    ElicitationComplete(Bytes),
    /// A task is further than it was.
    Task {
        /// Which.
        id: Arc<str>,
        /// The params of the notification, raw: all of the task.
        params: Bytes,
    },
}

/// What a listener wants to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    /// Changes of lists, by [`ListKind`].
    pub lists: [bool; 3],
    /// Changes of these resources.
    pub uris: BTreeSet<Arc<str>>,
    /// How far these tasks are, by the server's ids.
    pub tasks: BTreeSet<Arc<str>>,
    /// Log messages from this level on.
    pub log: Option<LogLevel>,
    /// That something asked by URL is done.
    pub elicitations: bool,
}

/// Who is told of changes. Telling does not wait.
pub trait NotificationSink: Debug + Send + Sync {
    /// Takes note of a change.
    fn tell(&self, change: &ServerNotification);
}

impl ListKind {
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The notification that tells of its change.
    pub fn changed(self) -> Method {
        match self {
            Self::Tools => Method::ToolsListChanged,
            Self::Prompts => Method::PromptsListChanged,
            Self::Resources => Method::ResourcesListChanged,
        }
    }

    /// What it is called in the filter of a listen.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }
}

impl ServerNotification {
    /// The change that a notification tells of, if it tells of one.
    pub fn read(notification: &Notification) -> Option<Self> {
        Self::of(&notification.method, notification.params.as_ref())
    }

    pub(crate) fn of(method: &Method, params: Option<&Bytes>) -> Option<Self> {
        Some(match method {
            Method::ToolsListChanged => Self::List(ListKind::Tools),
            Method::PromptsListChanged => Self::List(ListKind::Prompts),
            Method::ResourcesListChanged => Self::List(ListKind::Resources),
            Method::ResourceUpdated => {
                let members = RawObject::parse(params?).ok()?;
                Self::Updated {
                    uri: object::text(members.get("uri")?)?.into(),
                    params: Bytes::copy_from_slice(params?),
                }
            }
            Method::LogMessage => Self::Log {
                level: LogLevel::of_message(params?)?,
                params: Bytes::copy_from_slice(params?),
            },
            Method::TaskChanged => {
                let members = RawObject::parse(params?).ok()?;
                Self::Task {
                    id: object::text(members.get("taskId")?)?.into(),
                    params: Bytes::copy_from_slice(params?),
                }
            }
            Method::ElicitationComplete => Self::ElicitationComplete(Bytes::copy_from_slice(params?)),
            _ => return None,
        })
    }
}

impl NotificationFilter {
    pub(crate) fn wants(&self, change: &ServerNotification) -> bool {
        match change {
            ServerNotification::List(list) => self.lists[*list as usize],
            ServerNotification::Updated { uri, .. } => self.uris.contains(uri),
            ServerNotification::Task { id, .. } => self.tasks.contains(id),
            ServerNotification::Log { level, .. } => self.log.is_some_and(|from| *level >= from),
            ServerNotification::ElicitationComplete(_) => self.elicitations,
        }
    }
}

/// The params of `resources/subscribe` and `resources/unsubscribe`.
pub fn of_uri(uri: &str) -> RawObject {
    let mut params = RawObject::new();
    params.set("uri", object::quote(uri));
    params
}
