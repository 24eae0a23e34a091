//! A call before it is sent: the era is chosen, a session opened where one is needed, the request written.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{envelope, era::Era, header as mcp};

use super::{HttpUpstream, pool::Taken};
use crate::{
    question::Seat,
    session::Session,
    tasks::TaskIds,
    upstream::{
        ClientSide, Outgoing,
        cancel::Unanswered,
        convert::{self, Conversion},
        lease::Lease,
        legacy_version,
        session::{Open, UpstreamSession},
    },
};

/// How long the first call of a session waits for the stream beside it: some servers send its head with the first event.
const OPENING: Duration = Duration::from_millis(400);

/// A request that is ready to be sent.
pub(super) struct Prepared {
    pub(super) request: Box<Request<Bytes>>,
    pub(super) conversion: Conversion,
    pub(super) unanswered: Unanswered,
    pub(super) session: Option<(Arc<UpstreamSession>, Arc<Open>)>,
}

/// Opens the stream beside the calls of a legacy client's session, if it is to be opened, and waits for it: what the server
/// says there in the middle of a call is lost if it comes first. Calls that come meanwhile wait, too.
async fn settle_beside(own: &Session, session: &UpstreamSession, open: &Open) {
    let _one = open.beside.lock().await;
    if let Some(opening) = own.opened(session, open) {
        let _ = tokio::time::timeout(OPENING, opening).await;
    }
    let settled = open.followed.load(Ordering::Relaxed);
    open.beside_settled.store(settled, Ordering::Release);
}

impl HttpUpstream {
    /// Chooses the era, opens a session where one is needed, and writes the request.
    pub(super) async fn prepare(self: &Arc<Self>, outgoing: &Outgoing<'_>) -> Result<Prepared> {
        let dialects = self.dialects(outgoing.credential).await?;
        let client = outgoing.client.era();
        let seat = outgoing.tasks.as_deref().and_then(TaskIds::seat);
        let upstream = match seat {
            Some(_) => Era::Legacy,
            None => dialects.era_for(client),
        };
        let asks = outgoing.asks_at(upstream, self.limits());
        let mut lease: Option<Box<Lease>> = None;
        let session = match (upstream, seat) {
            (Era::Modern, _) => None,
            (Era::Legacy, Some(seat)) => Some(self.seated(seat, outgoing.credential)?),
            (Era::Legacy, None) => {
                let Taken { session, alone } = self.session_for(&outgoing.client, outgoing.credential, asks);
                let wanted = match &outgoing.client {
                    ClientSide::Legacy { session, .. } => Some(session.version),
                    _ => None,
                };
                let version = legacy_version(wanted, &dialects.legacy_versions);
                let open = session
                    .get(async || Box::pin(self.shake_hands(version, outgoing.credential, asks)).await)
                    .await?;
                if let ClientSide::Legacy { session: own, .. } = &outgoing.client
                    && own.known_listener().is_some()
                    && !open.beside_settled.load(Ordering::Acquire)
                {
                    Box::pin(settle_beside(own, &session, &open)).await;
                }
                if let Some(alone) = alone {
                    lease = Some(Box::pin(self.lease(&session, &open, outgoing.credential, alone)).await);
                }
                if let Some(level) = outgoing.client.level()
                    && !outgoing.client.is_heard_from(level, open.level.load(Ordering::Relaxed))
                {
                    Box::pin(self.set_level(&open, outgoing.credential, level)).await;
                }
                Some((session, open))
            }
        };
        // A client's ids are its own within its own session; in a shared one they would meet others.
        let sent = match (&outgoing.client, upstream) {
            (ClientSide::Legacy { .. }, Era::Legacy) | (_, Era::Modern) => outgoing.id.clone(),
            _ => self.next_id(),
        };
        let name = &self.connector.config.name;
        let mut params = convert::params(outgoing, upstream, name);
        let token = lease.as_mut().and_then(|lease| {
            lease.begin(&sent);
            if outgoing.tasks.as_deref().and_then(TaskIds::augmentation).is_some() {
                lease.outlives_its_call();
            }
            convert::own_token(params.to_mut(), &sent)
        });
        let same_text = client == Some(upstream) && sent == outgoing.id && matches!(params, Cow::Borrowed(_));
        let text = match &outgoing.unchanged {
            Some(text) if same_text => text.clone(),
            _ => envelope::request(&sent, &outgoing.method, Some(&params.to_bytes())),
        };
        let (credential, passthrough) = (outgoing.credential, &outgoing.passthrough);
        let headers = match &session {
            Some((_, open)) => self.headers_in(open, credential, passthrough),
            None => {
                let mut headers = self.headers_of(&outgoing.method, &params, credential, passthrough);
                mcp::write_params(&mut headers, outgoing.mirrored, params.get("arguments"));
                headers
            }
        };
        let unanswered = match &session {
            None => Unanswered::modern(),
            Some((session, open)) => Unanswered::legacy(
                Some(session.clone()),
                self.clone(),
                open.clone(),
                outgoing.credential.clone(),
                sent.clone(),
                outgoing.client.hanging_up(),
            )
            .hearing(lease),
        };
        let mut conversion = Conversion::new(outgoing, upstream, sent, &self.server);
        conversion.asks = asks;
        conversion.retold = token.map(Some);
        if let Some((_, open)) = &session {
            conversion.seat_tasks(|| open.seat());
        }
        Ok(Prepared {
            request: self.post(headers, text)?,
            conversion,
            unanswered,
            session,
        })
    }

    /// A session that another replica may have opened.
    fn seated(
        self: &Arc<Self>,
        seat: &Seat,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<(Arc<UpstreamSession>, Arc<Open>)> {
        let open = Open::at(seat).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let open = Arc::new(open);
        let session = UpstreamSession::seated(self, credential.clone(), open.clone());
        Ok((Arc::new(session), open))
    }

    /// Takes a session for one call in which the server may ask something.
    async fn lease(
        self: &Arc<Self>,
        session: &Arc<UpstreamSession>,
        open: &Arc<Open>,
        credential: &Arc<UpstreamCredential>,
        alone: bool,
    ) -> Box<Lease> {
        let lease = Box::new(Lease::take(self, session, open, credential, alone));
        lease.settle(OPENING).await;
        lease
    }
}
