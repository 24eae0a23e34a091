//! A call before it is sent: the era is chosen, a session opened where one is needed, the request written.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::calls::cancel_on_drop::CancelOnDrop;
use crate::conversation::Conversation;
use crate::conversion;
use crate::conversion::Conversion;
use crate::http_server::HttpServer;
use crate::request::Requester;
use crate::request::UpstreamRequest;
use crate::server::legacy_version;
use crate::session::OpenSession;
use crate::session::SessionUse;
use crate::session::UpstreamSession;
use crate::session::exclusive::ExclusiveSession;
use crate::session::pool::Taken;
use crate::session_ref::UpstreamSessionRef;
use bytes::Bytes;
use http::Request;
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{envelope, era::Era, header as mcp};

/// How long the first call of a session waits for the stream beside it: some servers send its head with the first event.
const OPENING: Duration = Duration::from_millis(400);

/// A request that is ready to be sent.
pub(crate) struct Prepared {
    pub(crate) request: Box<Request<Bytes>>,
    pub(crate) conversion: Conversion,
    pub(crate) cancel_on_drop: CancelOnDrop,
    pub(crate) session: Option<(SessionUse, Arc<OpenSession>)>,
}

/// Opens the stream beside the calls of a legacy client's session, if it is to be opened, and waits for it: what the server
/// says there in the middle of a call is lost if it comes first. Calls that come meanwhile wait, too.
async fn settle_beside(own: &Conversation, session: &UpstreamSession, open: &OpenSession) {
    let _one = open.beside.lock().await;
    if let Some(opening) = own.opened(session, open) {
        let _ = tokio::time::timeout(OPENING, opening).await;
    }
    let settled = open.followed.load(Ordering::Relaxed);
    open.beside_settled.store(settled, Ordering::Release);
}

impl HttpServer {
    /// Chooses the era, opens a session where one is needed, and writes the request.
    pub(crate) async fn prepare(self: &Arc<Self>, request: &UpstreamRequest<'_>) -> Result<Prepared> {
        let eras = self.eras(request.credential).await?;
        let client = request.requester.era();
        let session_ref = request.tasks.as_ref().and_then(|tasks| tasks.session());
        let upstream = match session_ref {
            Some(_) => Era::Legacy,
            None => eras.era_for(client),
        };
        let capabilities = request.capabilities_at(upstream, self.client.config().may_suspend);
        let mut exclusive: Option<Box<ExclusiveSession>> = None;
        let session = match (upstream, session_ref) {
            (Era::Modern, _) => None,
            (Era::Legacy, Some(session_ref)) => Some(self.joined(session_ref, request.credential)?),
            (Era::Legacy, None) => {
                let Taken { session, is_exclusive } =
                    self.session_for(&request.requester, request.credential, capabilities);
                let version = legacy_version(request.requester.version(), &eras.legacy_versions);
                let open = session
                    .get(async || Box::pin(self.handshake(version, request.credential, capabilities)).await)
                    .await?;
                if let Requester::Legacy { conversation: own, .. } = &request.requester
                    && own.has_reader()
                    && !open.beside_settled.load(Ordering::Acquire)
                {
                    Box::pin(settle_beside(own, &session, &open)).await;
                }
                if let Some(is_exclusive) = is_exclusive {
                    exclusive = Some(Box::pin(self.exclusive(&session, &open, request.credential, is_exclusive)).await);
                }
                if let Some(level) = request.requester.level()
                    && !request
                        .requester
                        .accepts_level(level, open.level.load(Ordering::Relaxed))
                {
                    Box::pin(self.set_level(&open, request.credential, level)).await;
                }
                Some((session, open))
            }
        };
        // A client's ids are its own within its own session; in a shared one they would meet others.
        let sent = match (&request.requester, upstream) {
            (Requester::Legacy { .. }, Era::Legacy) | (_, Era::Modern) => request.id.clone(),
            _ => self.next_id(),
        };
        let name = &self.client.config().name;
        let mut params = conversion::params(request, upstream, name);
        let token = exclusive.as_mut().and_then(|exclusive| {
            exclusive.begin(&sent);
            if request.tasks.as_ref().and_then(|tasks| tasks.augmentation()).is_some() {
                exclusive.outlives_its_call();
            }
            conversion::own_token(params.to_mut(), &sent)
        });
        let same_text = client == Some(upstream) && sent == *request.id && matches!(params, Cow::Borrowed(_));
        let text = match request.unchanged {
            Some(text) if same_text => text.clone(),
            _ => envelope::request(&sent, request.method, Some(&params.to_bytes())),
        };
        let (credential, passthrough) = (request.credential, request.passthrough);
        let headers = match &session {
            Some((_, open)) => self.headers_in(open, credential, passthrough),
            None => {
                let mut headers = self.headers_of(request.method, &params, credential, passthrough);
                mcp::write_params(&mut headers, request.mirrored, params.get("arguments"));
                headers
            }
        };
        let cancel_on_drop = match &session {
            None => CancelOnDrop::modern(),
            Some((session, open)) => CancelOnDrop::legacy(
                Some(session.clone()),
                self.clone(),
                open.clone(),
                request.credential.clone(),
                sent.clone(),
                request.requester.on_disconnect(),
            )
            .listening(exclusive),
        };
        let mut conversion = Conversion::new(request, upstream, sent, &self.server);
        conversion.capabilities = capabilities;
        conversion.retold = token.map(Some);
        if let Some((_, open)) = &session {
            conversion.bind_tasks(|| open.reference());
        }
        Ok(Prepared {
            request: self.post(headers, text)?,
            conversion,
            cancel_on_drop,
            session,
        })
    }

    /// A session that another replica may have opened.
    fn joined(
        self: &Arc<Self>,
        session_ref: &UpstreamSessionRef,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<(SessionUse, Arc<OpenSession>)> {
        let open = OpenSession::at(session_ref).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let open = Arc::new(open);
        let session = UpstreamSession::joined(self, credential.clone(), open.clone());
        Ok((Arc::new(session).enter_call(), open))
    }

    /// Takes a session for one call in which the server may ask something.
    async fn exclusive(
        self: &Arc<Self>,
        session: &SessionUse,
        open: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
        is_exclusive: bool,
    ) -> Box<ExclusiveSession> {
        let exclusive = Box::new(ExclusiveSession::take(self, session, open, credential, is_exclusive));
        exclusive.settle(OPENING).await;
        exclusive
    }
}
