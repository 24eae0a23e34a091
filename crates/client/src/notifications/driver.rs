//! Follows one server while its feed has listeners.

use std::{sync::Arc, time::Duration};

use portolan_core::{Backoff, Error};
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    connection::{Route, ServerConnection},
    notifications::{
        channel,
        feed::{DesiredFilter, GrantedFilter, NotificationFeed},
        follow_end::FollowEnd,
        legacy, modern,
    },
};

/// How long "no notifications" is cached: servers are upgraded.
const UNSUPPORTED_BELIEVED: Duration = Duration::from_secs(600);
/// The first and the longest wait after a failure.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Starts to follow a feed's server. The task ends without listeners, and with the client.
pub(crate) fn start(feed: &Arc<NotificationFeed>) -> Option<AbortOnDropHandle<()>> {
    let lists = feed.lists.upgrade()?;
    let client = lists.connection().client();
    let runtime = Handle::try_current().ok()?;
    let (feed, ended) = (feed.clone(), client.ended().clone());
    let driving = async move {
        tokio::select! {
            () = drive(&feed) => {}
            () = ended.cancelled() => {}
        }
    };
    let driving = client.streams().track_future(driving);
    Some(AbortOnDropHandle::new(runtime.spawn(driving)))
}

async fn drive(feed: &Arc<NotificationFeed>) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let Some(grace) = feed
        .lists
        .upgrade()
        .map(|lists| lists.connection().config().timeouts.listen_grace)
    else {
        return;
    };
    loop {
        let (wait, refusal) = match follow(feed, &mut backoff, grace).await {
            FollowEnd::Unwanted if feed.stop() => return,
            FollowEnd::Unwanted => continue,
            FollowEnd::Ended(Some(asked)) => (backoff.next_delay_at_request(asked), None),
            FollowEnd::Ended(None) => (backoff.next_delay(), None),
            FollowEnd::Unsupported => (UNSUPPORTED_BELIEVED, Some(error::METHOD_NOT_FOUND)),
            FollowEnd::Failed(error) => {
                tracing::info!(%error, "server cannot be followed");
                (backoff.next_delay(), None)
            }
        };
        if rest(feed, wait, refusal, grace).await && feed.stop() {
            return;
        }
    }
}

/// Waits, and meanwhile reports that the server is not followed. Returns `true` if no listener is left.
async fn rest(feed: &Arc<NotificationFeed>, wait: Duration, refusal: Option<i64>, grace: Duration) -> bool {
    let (mut wanted, mut waiting) = (feed.watch(), std::pin::pin!(tokio::time::sleep(wait)));
    let mut unwanted = std::pin::pin!(feed.unwanted(grace));
    loop {
        wanted.borrow_and_update();
        feed.granted(absent(feed.desired(), refusal));
        tokio::select! {
            _ = wanted.changed() => {}
            () = &mut waiting => return false,
            () = &mut unwanted => return true,
        }
    }
}

/// Returns the grant of a server that is not followed.
fn absent(desired: DesiredFilter, refusal: Option<i64>) -> GrantedFilter {
    let refused = refusal.map(|code| ErrorObject::new(code, "the server sends no notifications"));
    GrantedFilter {
        revision: desired.revision,
        live: false,
        refused: match refused {
            Some(error) => desired.uris.into_iter().map(|uri| (uri, error.clone())).collect(),
            None => Default::default(),
        },
        tasks: Default::default(),
    }
}

async fn follow(feed: &Arc<NotificationFeed>, backoff: &mut Backoff, grace: Duration) -> FollowEnd {
    let Some(lists) = feed.lists.upgrade() else {
        return FollowEnd::Unsupported;
    };
    match route(feed, lists.connection(), backoff, grace).await {
        Ok(over) => over,
        Err(error) => FollowEnd::Failed(error),
    }
}

async fn route(
    feed: &Arc<NotificationFeed>,
    server: &ServerConnection,
    backoff: &mut Backoff,
    grace: Duration,
) -> Result<FollowEnd, Error> {
    let http = match server.route(false).await? {
        Route::Http(http) => http.http().clone(),
        Route::Channel(owner) => return channel::follow(feed, &owner, backoff, grace).await,
    };
    let eras = http.eras(&feed.credential).await?;
    match eras.era_for(None) {
        Era::Modern => modern::follow(feed, &http, backoff, grace).await,
        Era::Legacy => legacy::follow(feed, &http, &eras, backoff, grace).await,
    }
}
