//! Follows one server while somebody listens.

use std::{sync::Arc, time::Duration};

use portolan_core::{Endpoint, Error};
use portolan_wire::{
    era::Era,
    error::{self, ErrorObject},
};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{
    channel,
    hub::{Hub, Offer, Wishes},
    legacy, modern,
    pace::Pace,
};
use crate::upstream::{Link, Place, unknown_endpoint};

/// How long "it tells nothing" is believed: servers are upgraded.
const MUTE_BELIEVED: Duration = Duration::from_secs(600);

/// Why a server is followed no longer.
#[derive(Debug)]
pub(super) enum Over {
    /// Nobody wants to know any more.
    Unwanted,
    /// The stream is over and may be opened again, after what the server has asked for.
    Ended(Option<Duration>),
    /// It tells nothing outside of calls.
    Mute,
    /// It cannot be listened to now.
    Failed(Error),
}

/// Starts to follow a hub's server. The work ends when nobody listens, and with the gateway.
pub(super) fn start(hub: &Arc<Hub>) -> Option<AbortOnDropHandle<()>> {
    let link = hub.link.upgrade()?;
    let runtime = Handle::try_current().ok()?;
    let (hub, ended) = (hub.clone(), link.connector.ended.clone());
    let driving = async move {
        tokio::select! {
            () = drive(&hub) => {}
            () = ended.cancelled() => {}
        }
    };
    Some(AbortOnDropHandle::new(runtime.spawn(driving)))
}

async fn drive(hub: &Arc<Hub>) {
    let mut pace = Pace::default();
    let Some(grace) = hub.link.upgrade().map(|link| link.config().timeouts.listen_grace) else {
        return;
    };
    loop {
        let (wait, refusal) = match follow(hub, &mut pace, grace).await {
            Over::Unwanted if hub.stop() => return,
            Over::Unwanted => continue,
            Over::Ended(asked) => (pace.next(asked), None),
            Over::Mute => (MUTE_BELIEVED, Some(error::METHOD_NOT_FOUND)),
            Over::Failed(error) => {
                tracing::info!(%error, "a server cannot be listened to; it is tried again");
                (pace.next(None), None)
            }
        };
        if rest(hub, wait, refusal, grace).await && hub.stop() {
            return;
        }
    }
}

/// Waits, and says meanwhile that the server is not listened to. True if nobody wants to know any more.
async fn rest(hub: &Arc<Hub>, wait: Duration, refusal: Option<i64>, grace: Duration) -> bool {
    let (mut wanted, mut waiting) = (hub.watch(), std::pin::pin!(tokio::time::sleep(wait)));
    let mut unwanted = std::pin::pin!(hub.unwanted(grace));
    loop {
        wanted.borrow_and_update();
        hub.offer(absent(hub.wishes(), refusal));
        tokio::select! {
            _ = wanted.changed() => {}
            () = &mut waiting => return false,
            () = &mut unwanted => return true,
        }
    }
}

/// What a server offers that is not listened to.
fn absent(wishes: Wishes, refusal: Option<i64>) -> Offer {
    let refused = refusal.map(|code| ErrorObject::new(code, "the server does not tell of changes"));
    Offer {
        revision: wishes.revision,
        live: false,
        refused: match refused {
            Some(error) => wishes.uris.into_iter().map(|uri| (uri, error.clone())).collect(),
            None => Default::default(),
        },
        tasks: Default::default(),
    }
}

async fn follow(hub: &Arc<Hub>, pace: &mut Pace, grace: Duration) -> Over {
    let Some(link) = hub.link.upgrade() else {
        return Over::Mute;
    };
    match place(hub, &link, pace, grace).await {
        Ok(over) => over,
        Err(error) => Over::Failed(error),
    }
}

async fn place(hub: &Arc<Hub>, link: &Arc<Link>, pace: &mut Pace, grace: Duration) -> Result<Over, Error> {
    let http = match &link.place {
        Place::Fixed(http) => http.clone(),
        Place::Channel(owner) => return channel::follow(hub, owner, pace, grace).await,
        Place::Runtime(runtime, install) => match runtime.endpoint(install).await? {
            Endpoint::Http(endpoint) => link.moving(endpoint),
            Endpoint::Channel(owner) => return channel::follow(hub, &owner, pace, grace).await,
            _ => return Err(unknown_endpoint(&link.server.name)),
        },
    };
    let dialects = http.dialects(&hub.credential).await?;
    match dialects.era_for(None) {
        Era::Modern => modern::follow(hub, &http, pace, grace).await,
        Era::Legacy => legacy::follow(hub, &http, &dialects, pace, grace).await,
    }
}
