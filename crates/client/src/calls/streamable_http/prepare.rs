//! Prepares a call: chooses the era, opens a session where one is needed, writes the request.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{envelope, era::Era, header as mcp, id::RequestId};

use crate::{
    calls::{
        cancel_on_drop::CancelOnDrop, in_flight::InFlightCall, streamable_http::HttpUpstream, timeout::CallTimeout,
    },
    capabilities::{ClientCapabilities, with_extensions},
    conversation::Conversation,
    conversion,
    conversion::Conversion,
    era_cache::legacy_version,
    http_server::{HttpServer, open_session::OpenSession},
    request::{Requester, UpstreamRequest},
    session::{SessionUse, UpstreamSession, exclusive::ExclusiveSession, pool::Taken},
    session_ref::UpstreamSessionRef,
};

/// How long the first call of a session waits for its GET stream: some servers send its head with the first event.
const OPENING: Duration = Duration::from_millis(400);

/// A request that is ready to be sent.
pub(crate) struct Prepared {
    pub(crate) request: Box<Request<Bytes>>,
    pub(crate) conversion: Conversion,
    pub(crate) cancel_on_drop: CancelOnDrop,
    pub(crate) session: Option<SessionInUse>,
}

/// A session in use by a call, with its open state.
pub(crate) type SessionInUse = (SessionUse, Arc<OpenSession>);

/// The session in which a call is made.
struct CallSession {
    session: SessionUse,
    open: Arc<OpenSession>,
    /// The use of the GET stream, if there is one.
    exclusive: Option<Box<ExclusiveSession>>,
}

/// Opens the GET stream of a legacy client's upstream session, if it has a reader, and waits for it: messages that the
/// server sends there before it is open are lost. Concurrent calls wait, too.
async fn settle_beside(own: &Conversation, session: &UpstreamSession, open: &OpenSession) {
    let _one = open.beside.lock().await;
    if let Some(opening) = own.opened(session, open) {
        let _ = tokio::time::timeout(OPENING, opening).await;
    }
    let settled = open.followed.load(Ordering::Relaxed);
    open.beside_settled.store(settled, Ordering::Release);
}

impl HttpUpstream {
    /// Chooses the era, opens a session where one is needed, and writes the request.
    pub(crate) async fn prepare(&self, request: &UpstreamRequest<'_>) -> Result<Prepared> {
        let eras = self.http.eras(request.credential).await?;
        let session_ref = request.tasks.as_ref().and_then(|tasks| tasks.session());
        let upstream = match session_ref {
            Some(_) => Era::Legacy,
            None => eras.era_for(request.requester.era()),
        };
        let capabilities = request.capabilities_at(upstream, self.http.config().may_suspend);
        let session = match (upstream, session_ref) {
            (Era::Modern, _) => None,
            (Era::Legacy, Some(session_ref)) => Some(self.joined(session_ref, request.credential)?),
            (Era::Legacy, None) => {
                let Taken { session, is_exclusive } = self.session_for(request, capabilities);
                let version = legacy_version(request.requester.version(), &eras.legacy_versions);
                let open = session
                    .get(async || {
                        let declared = with_extensions(capabilities.to_json(), request.extensions().as_ref());
                        Box::pin(self.http.handshake(version, request.credential, declared)).await
                    })
                    .await?;
                if let Requester::Legacy { conversation: own, .. } = &request.requester
                    && own.has_reader()
                    && !open.beside_settled.load(Ordering::Acquire)
                {
                    Box::pin(settle_beside(own, &session, &open)).await;
                }
                let exclusive = match is_exclusive {
                    Some(alone) => Some(Box::pin(self.exclusive(&session, &open, request.credential, alone)).await),
                    None => None,
                };
                if let Some(level) = request.requester.level()
                    && !request
                        .requester
                        .accepts_level(level, open.level.load(Ordering::Relaxed))
                {
                    Box::pin(self.http.set_level(&open, request.credential, level)).await;
                }
                Some(CallSession {
                    session,
                    open,
                    exclusive,
                })
            }
        };
        self.write(request, upstream, capabilities, session)
    }

    /// Writes the request for a server of era `upstream`.
    fn write(
        &self,
        request: &UpstreamRequest<'_>,
        upstream: Era,
        capabilities: ClientCapabilities,
        mut session: Option<CallSession>,
    ) -> Result<Prepared> {
        // A client's ids could collide in a shared session, and come back in another spelling.
        let sent = self.http.next_id();
        let mut params = conversion::params(request, upstream, self.http.client_name());
        let exclusive = session.as_mut().and_then(|session| session.exclusive.as_mut());
        let token = exclusive.and_then(|exclusive| {
            exclusive.begin(&sent);
            if request.tasks.as_ref().and_then(|tasks| tasks.augmentation()).is_some() {
                exclusive.outlives_its_call();
            }
            conversion::own_token(params.to_mut(), &sent)
        });
        let text = envelope::request(&sent, request.method, Some(&params.to_bytes()));
        let (credential, passthrough) = (request.credential, request.passthrough);
        let headers = match &session {
            Some(CallSession { open, .. }) => self.http.headers_in(open, credential, passthrough),
            None => {
                let mut headers = self.http.headers_of(request.method, &params, credential, passthrough);
                mcp::write_params(&mut headers, request.mirrored, params.get("arguments"));
                headers
            }
        };
        let mut conversion = Conversion::new(request, upstream, sent.clone(), &self.http.server);
        conversion.capabilities = capabilities;
        conversion.retold = token.map(Some);
        if let Some(CallSession { open, .. }) = &session {
            conversion.bind_tasks(|| open.reference());
        }
        let (cancel_on_drop, session) = match session {
            Some(session) => session.sent_in(&self.http, request, sent),
            None => (CancelOnDrop::modern(), None),
        };
        Ok(Prepared {
            request: self.http.post(headers, text)?,
            conversion,
            cancel_on_drop,
            session,
        })
    }

    /// Returns the session for a call: of the client's own session, or of its caller.
    fn session_for(&self, request: &UpstreamRequest<'_>, capabilities: ClientCapabilities) -> Taken {
        let credential = request.credential;
        let subject = match &request.requester {
            Requester::Legacy { conversation, .. } => {
                let make = || Arc::new(UpstreamSession::new(&self.http, credential.clone()));
                let fits = |old: &UpstreamSession| old.fits(&self.http, credential);
                return Taken {
                    session: conversation.session(&self.http.server.name, fits, make).enter_call(),
                    is_exclusive: None,
                };
            }
            Requester::Modern { caller, .. } => Some(caller.subject.clone()),
            Requester::Internal => None,
        };
        self.sessions
            .take(subject, credential, capabilities, request.extensions())
    }

    /// Returns a session that another replica may have opened.
    fn joined(&self, session_ref: &UpstreamSessionRef, credential: &Arc<UpstreamCredential>) -> Result<CallSession> {
        let open = OpenSession::at(session_ref).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let open = Arc::new(open);
        let session = UpstreamSession::joined(&self.http, credential.clone(), open.clone());
        Ok(CallSession {
            session: Arc::new(session).enter_call(),
            open,
            exclusive: None,
        })
    }

    /// Takes a session for one call in which the server may send requests.
    async fn exclusive(
        &self,
        session: &SessionUse,
        open: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
        is_exclusive: bool,
    ) -> Box<ExclusiveSession> {
        let exclusive = Box::new(ExclusiveSession::take(
            &self.sessions,
            session,
            open,
            credential,
            is_exclusive,
        ));
        exclusive.settle(OPENING).await;
        exclusive
    }
}

impl CallSession {
    /// The call is sent in this session, under the id `sent`.
    fn sent_in(
        self,
        http: &Arc<HttpServer>,
        request: &UpstreamRequest<'_>,
        sent: RequestId,
    ) -> (CancelOnDrop, Option<SessionInUse>) {
        let cancel_on_drop = CancelOnDrop::legacy(
            Some(self.session.clone()),
            http.clone(),
            self.open.clone(),
            request.credential.clone(),
            sent,
            request.requester.on_disconnect(),
        );
        (
            cancel_on_drop.listening(self.exclusive),
            Some((self.session, self.open)),
        )
    }
}

impl Prepared {
    /// Returns the request, its session, and the state of the call.
    pub(crate) fn with(self, timeout: CallTimeout) -> (Box<Request<Bytes>>, Option<SessionInUse>, Box<InFlightCall>) {
        let in_flight = InFlightCall {
            conversion: self.conversion,
            cancel_on_drop: self.cancel_on_drop,
            timeout,
        };
        (self.request, self.session, Box::new(in_flight))
    }
}
