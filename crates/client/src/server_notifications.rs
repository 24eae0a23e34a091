//! Notifications of a server outside of calls, and their filters.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use portolan_core::UpstreamCredential;
use portolan_wire::{
    envelope::Notification,
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};

/// A kind of list that servers announce changes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// The tools.
    Tools,
    /// The prompts.
    Prompts,
    /// The resources and resource templates.
    Resources,
}

/// A notification of a server outside of calls.
#[derive(Clone, Debug)]
pub enum ServerNotification {
    /// A list has changed.
    List(ListKind),
    /// A resource has changed.
    Updated {
        /// The URI of the resource.
        uri: Arc<str>,
        /// The params of the notification, raw.
        params: Bytes,
    },
    /// A log message.
    Log {
        /// The level of the message.
        level: LogLevel,
        /// The params of the notification, raw.
        params: Bytes,
    },
    /// A URL elicitation is complete (2025-11-25); the params of the notification, raw.
    ElicitationComplete(Bytes),
    /// The state of a task has changed.
    Task {
        /// The server's id of the task.
        id: Arc<str>,
        /// The params of the notification, raw: the whole task.
        params: Bytes,
    },
}

/// The notifications that a listener wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    /// Changes of lists, indexed by [`ListKind`].
    pub lists: [bool; 3],
    /// Changes of the resources with these URIs.
    pub uris: BTreeSet<Arc<str>>,
    /// State changes of these tasks, by the server's ids.
    pub tasks: BTreeSet<Arc<str>>,
    /// Log messages of at least this level.
    pub log: Option<LogLevel>,
    /// Completed URL elicitations.
    pub elicitations: bool,
}

/// Receives notifications.
///
/// # Contract
///
/// `tell` does not block and does not wait: it runs on the task that reads the server's stream. The [module
/// docs](crate::notifications) have an example.
pub trait NotificationSink: Debug + Send + Sync {
    /// Receives a notification.
    fn tell(&self, change: &ServerNotification);
}

/// Takes the changes that a server announces on the stream of a request, where they do not belong.
pub(crate) trait ChangeSink: Debug + Send + Sync {
    /// Takes a change that was announced to a session with this credential.
    fn changed(&self, change: &ServerNotification, credential: &UpstreamCredential);

    /// Learns that the server may have been restarted: its lists may be others.
    fn restarted(&self);
}

/// The sink of one server's changes; empty until its lists are cached.
#[derive(Debug, Default)]
pub(crate) struct ChangeSinkCell(OnceLock<Box<dyn ChangeSink>>);

impl ChangeSinkCell {
    pub(crate) fn set(&self, sink: Box<dyn ChangeSink>) {
        let _ = self.0.set(sink);
    }

    /// Passes on that the server may have been restarted.
    pub(crate) fn restarted(&self) {
        if let Some(sink) = self.0.get() {
            sink.restarted();
        }
    }

    /// Passes on the change that a notification announces, if it is one.
    pub(crate) fn take(&self, notification: &Notification, credential: &UpstreamCredential) {
        let Some(sink) = self.0.get() else { return };
        if let Some(change @ (ServerNotification::List(_) | ServerNotification::Updated { .. })) =
            ServerNotification::read(notification)
        {
            sink.changed(&change, credential);
        }
    }
}

impl ListKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// Returns the method of the notification that announces a change.
    pub fn changed(self) -> Method {
        match self {
            Self::Tools => Method::ToolsListChanged,
            Self::Prompts => Method::PromptsListChanged,
            Self::Resources => Method::ResourcesListChanged,
        }
    }

    /// Returns the member of the filter of `subscriptions/listen`.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }
}

impl ServerNotification {
    /// Reads a notification; `None` for one of another method, or with invalid params.
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
    /// Adds the changes of a list.
    ///
    /// ```
    /// use portolan_client::notifications::{ListKind, NotificationFilter};
    ///
    /// let filter = NotificationFilter::default().with_list(ListKind::Tools);
    /// assert_eq!(filter.lists, [true, false, false]);
    /// ```
    #[must_use]
    pub fn with_list(mut self, list: ListKind) -> Self {
        self.lists[list as usize] = true;
        self
    }

    /// Adds the changes of a resource.
    #[must_use]
    pub fn with_uri(mut self, uri: impl Into<Arc<str>>) -> Self {
        self.uris.insert(uri.into());
        self
    }

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

/// Returns the params of `resources/subscribe` and `resources/unsubscribe`.
pub fn of_uri(uri: &str) -> RawObject {
    let mut params = RawObject::new();
    params.set("uri", object::quote(uri));
    params
}
