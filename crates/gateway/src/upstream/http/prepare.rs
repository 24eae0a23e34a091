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
    server_requests::UpstreamSessionRef,
    session::Session,
    tasks::TaskIds,
    upstream::{
        Requester, UpstreamRequest,
        cancel_on_drop::CancelOnDrop,
        conversion::{self, Conversion},
        exclusive::ExclusiveSession,
        legacy_version,
        session::{OpenSession, UpstreamSession},
    },
};

/// How long the first call of a session waits for the stream beside it: some servers send its head with the first event.
const OPENING: Duration = Duration::from_millis(400);

/// A request that is ready to be sent.
pub(super) struct Prepared {
    pub(super) request: Box<Request<Bytes>>,
    pub(super) conversion: Conversion,
    pub(super) cancel_on_drop: CancelOnDrop,
    pub(super) session: Option<(Arc<UpstreamSession>, Arc<OpenSession>)>,
}

/// Opens the stream beside the calls of a legacy client's session, if it is to be opened, and waits for it: what the server
/// says there in the middle of a call is lost if it comes first. Calls that come meanwhile wait, too.
async fn settle_beside(own: &Session, session: &UpstreamSession, open: &OpenSession) {
    let _one = open.beside.lock().await;
    if let Some(opening) = own.opened(session, open) {
        let _ = tokio::time::timeout(OPENING, opening).await;
    }
    let settled = open.followed.load(Ordering::Relaxed);
    open.beside_settled.store(settled, Ordering::Release);
}

impl HttpUpstream {
    /// Chooses the era, opens a session where one is needed, and writes the request.
    pub(super) async fn prepare(self: &Arc<Self>, outgoing: &UpstreamRequest<'_>) -> Result<Prepared> {
        let eras = self.eras(outgoing.credential).await?;
        let client = outgoing.client.era();
        let session_ref = outgoing.tasks.as_deref().and_then(TaskIds::session_ref);
        let upstream = match session_ref {
            Some(_) => Era::Legacy,
            None => eras.era_for(client),
        };
        let asks = outgoing.asks_at(upstream, self.limits());
        let mut exclusive: Option<Box<ExclusiveSession>> = None;
        let session = match (upstream, session_ref) {
            (Era::Modern, _) => None,
            (Era::Legacy, Some(session_ref)) => Some(self.seated(session_ref, outgoing.credential)?),
            (Era::Legacy, None) => {
                let Taken { session, is_exclusive } = self.session_for(&outgoing.client, outgoing.credential, asks);
                let wanted = match &outgoing.client {
                    Requester::Legacy { session, .. } => Some(session.version),
                    _ => None,
                };
                let version = legacy_version(wanted, &eras.legacy_versions);
                let open = session
                    .get(async || Box::pin(self.shake_hands(version, outgoing.credential, asks)).await)
                    .await?;
                if let Requester::Legacy { session: own, .. } = &outgoing.client
                    && own.known_listener().is_some()
                    && !open.beside_settled.load(Ordering::Acquire)
                {
                    Box::pin(settle_beside(own, &session, &open)).await;
                }
                if let Some(is_exclusive) = is_exclusive {
                    exclusive =
                        Some(Box::pin(self.exclusive(&session, &open, outgoing.credential, is_exclusive)).await);
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
            (Requester::Legacy { .. }, Era::Legacy) | (_, Era::Modern) => outgoing.id.clone(),
            _ => self.next_id(),
        };
        let name = &self.connector.config.name;
        let mut params = conversion::params(outgoing, upstream, name);
        let token = exclusive.as_mut().and_then(|exclusive| {
            exclusive.begin(&sent);
            if outgoing.tasks.as_deref().and_then(TaskIds::augmentation).is_some() {
                exclusive.outlives_its_call();
            }
            conversion::own_token(params.to_mut(), &sent)
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
        let cancel_on_drop = match &session {
            None => CancelOnDrop::modern(),
            Some((session, open)) => CancelOnDrop::legacy(
                Some(session.clone()),
                self.clone(),
                open.clone(),
                outgoing.credential.clone(),
                sent.clone(),
                outgoing.client.on_disconnect(),
            )
            .listening(exclusive),
        };
        let mut conversion = Conversion::new(outgoing, upstream, sent, &self.server);
        conversion.asks = asks;
        conversion.retold = token.map(Some);
        if let Some((_, open)) = &session {
            conversion.seat_tasks(|| open.session_ref());
        }
        Ok(Prepared {
            request: self.post(headers, text)?,
            conversion,
            cancel_on_drop,
            session,
        })
    }

    /// A session that another replica may have opened.
    fn seated(
        self: &Arc<Self>,
        session_ref: &UpstreamSessionRef,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<(Arc<UpstreamSession>, Arc<OpenSession>)> {
        let open = OpenSession::at(session_ref).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let open = Arc::new(open);
        let session = UpstreamSession::seated(self, credential.clone(), open.clone());
        Ok((Arc::new(session), open))
    }

    /// Takes a session for one call in which the server may ask something.
    async fn exclusive(
        self: &Arc<Self>,
        session: &Arc<UpstreamSession>,
        open: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
        is_exclusive: bool,
    ) -> Box<ExclusiveSession> {
        let exclusive = Box::new(ExclusiveSession::take(self, session, open, credential, is_exclusive));
        exclusive.settle(OPENING).await;
        exclusive
    }
}
