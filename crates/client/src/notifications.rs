//! Notifications of servers outside of calls: changes of lists, resources and tasks, log messages.
//!
//! Each server has one [`NotificationFeed`] per credential that somebody listens with. A feed follows its server only
//! while it has listeners, and for a grace time after that, in the one way that the server offers: by a GET stream in a
//! session of the feed's own (legacy HTTP), by `subscriptions/listen` (modern HTTP), or through the channel.
//!
//! ```
//! # use portolan_fixtures::everything::{Everything, Options};
//! use std::{sync::Arc, time::Duration};
//! use portolan_client::{
//!     Client, ClientConfig, UpstreamCredential, UpstreamServer,
//!     notifications::{ListKind, NotificationFilter, NotificationSink, ServerNotification},
//! };
//! use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
//!
//! #[derive(Debug)]
//! struct Queue(UnboundedSender<ServerNotification>);
//!
//! impl NotificationSink for Queue {
//!     fn tell(&self, notification: &ServerNotification) {
//!         let _ = self.0.send(notification.clone());
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let fixture = Everything::start(Options::default()).await?;
//! # let url = fixture.url();
//! let client = Client::new(ClientConfig::default());
//! let server = UpstreamServer::at_url(&client, url)?;
//! let credential = Arc::new(UpstreamCredential::none());
//!
//! let (sender, mut notifications) = unbounded_channel();
//! let filter = NotificationFilter::default().with_list(ListKind::Tools);
//! let listening = server.notifications(&credential).listen(filter, Arc::new(Queue(sender)));
//! let granted = listening.granted(Duration::from_secs(10)).await;
//! assert!(granted.is_some_and(|granted| granted.live));
//! # server.call_tool("test_trigger_tool_change", Default::default(), &credential).await?;
//! let notification = notifications.recv().await;
//! assert!(matches!(notification, Some(ServerNotification::List(ListKind::Tools))));
//! # Ok(())
//! # }
//! ```

mod announced;
pub(crate) mod channel;
mod cooperative_yield;
pub(crate) mod driver;
pub(crate) mod feed;
mod follow_end;
pub(crate) mod legacy;
mod listening;
pub(crate) mod modern;

pub(crate) use self::{announced::AnnouncedChanges, feed::NotificationFeeds};
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
