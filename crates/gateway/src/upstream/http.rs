//! A server that is reached by streamable HTTP, of either era.

mod handshake;
mod probe;
mod renewal;

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method as Verb, Request, Response, StatusCode, header};
use http_body_util::Full;
use portolan_core::{Cause, Error, Failure, HttpEndpoint, Outbound, Result, ServerSpec, Subject, Version};
use portolan_wire::{
    envelope,
    era::{Era, ProtocolVersion},
    error::{self as mcp_error, ErrorObject},
    header as mcp,
    id::RequestId,
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    AboutCell, ClientSide, Heir, Left, Outgoing, Reply,
    cancel::Unanswered,
    client::Connector,
    connection::{Driven, Pool},
    convert::{self, Conversion, Said},
    dialect::Known,
    events::{self, EventRelay},
    json, legacy_version,
    patience::{Over, Patience},
    session::{Open, UpstreamSession},
};
use crate::{
    config::{Limits, Timeouts},
    intake::{self, essence},
    question::{Abilities, Seat},
    tasks::TaskIds,
};

/// Bytes of an error body that are looked at.
const ERROR_BYTES: usize = 64 * 1024;
/// How long the first call of a session waits for the stream beside it: some servers send its head with the first event.
const OPENING: Duration = Duration::from_millis(400);
/// Sessions that are kept for modern callers of a legacy server.
const POOL: usize = 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// A server at a URL.
#[derive(Debug)]
pub(crate) struct HttpUpstream {
    server: Arc<ServerSpec>,
    endpoint: HttpEndpoint,
    /// Where it is, and what is asked for there.
    place: Option<(http::Uri, http::Uri)>,
    connections: Arc<Pool>,
    /// Headers of every request: those of the server's entry, and what the protocol asks for.
    fixed: HeaderMap,
    connector: Arc<Connector>,
    /// What the server says of itself, kept for its link.
    about: Arc<AboutCell>,
    known: Known,
    next_id: AtomicU64,
    pool: Mutex<HashMap<PoolKey, Arc<UpstreamSession>>>,
}

/// Modern callers have no sessions; at a legacy server they share one per caller, credential, and what the server was told
/// that they can be asked.
type PoolKey = (Option<Subject>, Option<Version>, Abilities);

/// What comes of taking a stream up again.
#[derive(Debug)]
pub(crate) enum TakenUp {
    /// The rest of the stream.
    Body(Box<Driven>),
    /// Nothing, and it may be tried again.
    NotNow,
    /// The server does not have it any more.
    Never,
}

/// A request that is ready to be sent.
struct Prepared {
    request: Request<Full<Bytes>>,
    conversion: Conversion,
    unanswered: Unanswered,
    session: Option<(Arc<UpstreamSession>, Arc<Open>)>,
}

/// An answer that is none: the message for the client, and what can be done before it is sent.
enum Refused {
    /// The server does not speak the version that it was spoken to in (-32022).
    OtherVersion(Reply),
    /// The headers do not repeat what the server wants them to (-32020).
    Misread(Bytes),
    /// Anything else.
    Otherwise(Reply),
    /// The client has cancelled meanwhile.
    Cancelled,
}

impl HttpUpstream {
    pub(crate) fn new(
        server: Arc<ServerSpec>,
        endpoint: HttpEndpoint,
        connector: Arc<Connector>,
        about: Arc<AboutCell>,
    ) -> Self {
        let mut fixed = HeaderMap::with_capacity(server.headers.len() + 8);
        for (name, value) in &server.headers {
            // The entry was checked when it was made.
            if let (Ok(name), Ok(value)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            ) {
                fixed.insert(name, value);
            }
        }
        if let Some(host) = host(&endpoint.url) {
            fixed.insert(header::HOST, host);
        }
        fixed.insert(header::CONTENT_TYPE, JSON);
        fixed.insert(header::ACCEPT, BOTH);
        Self {
            place: place(&endpoint.url),
            connections: Arc::default(),
            fixed,
            server,
            endpoint,
            connector,
            about,
            known: Known::default(),
            next_id: AtomicU64::new(1),
            pool: Mutex::default(),
        }
    }

    pub(crate) fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.connector.config.limits
    }

    /// Its entry.
    pub(crate) fn server(&self) -> &ServerSpec {
        &self.server
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.connector.tasks
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.connector.config.timeouts
    }

    /// Cancelled when the gateway is gone.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.connector.ended
    }

    /// What the gateway calls itself.
    pub(super) fn client_name(&self) -> &str {
        &self.connector.config.name
    }

    /// An id that no other request of this gateway to this server has.
    pub(super) fn next_id(&self) -> RequestId {
        RequestId::from_u64(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// What a status other than 200 says, where there is nothing else to go by.
    pub(super) fn refused_with(&self, status: StatusCode) -> Error {
        let cause = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Cause::Credential,
            status if status.is_server_error() => Cause::Connection,
            _ => Cause::Protocol,
        };
        self.failed(Failure::new(cause, format!("it answered with HTTP {status}")))
    }

    /// Sends a request and gives what comes back, in the client's era.
    pub(crate) async fn call(self: &Arc<Self>, outgoing: &Outgoing<'_>) -> Result<Reply> {
        let mut patience = Patience::of(outgoing, &self.connector.config.timeouts);
        let (mut reopened, mut asked_anew) = (false, false);
        loop {
            let mut prepared = match patience.wait(self.prepare(outgoing)).await {
                Ok(prepared) => prepared?,
                Err(over) => return over_before_answer(over),
            };
            let sent = patience.wait(self.send(prepared.request, outgoing.credential)).await;
            let response = match sent {
                Ok(sent) => sent?,
                Err(over) => {
                    prepared
                        .unanswered
                        .cancel("the answer took too long, or was not wanted any more");
                    return over_before_answer(over);
                }
            };
            // The server knows the session no longer, so it has not looked at the call: it may be sent again, once
            // (2025-11-25, basic/transports, session management 4).
            if response.status() == StatusCode::NOT_FOUND
                && !reopened
                && let Some((session, open)) = &prepared.session
                && open.id.is_some()
            {
                session.expire(open);
                prepared.unanswered.answered();
                reopened = true;
                continue;
            }
            if response.status() == StatusCode::OK {
                return self
                    .reply(response, prepared.conversion, prepared.unanswered, patience)
                    .await;
            }
            let refused = self.refused(response, &prepared.conversion, prepared.unanswered, &mut patience);
            match Box::pin(refused).await? {
                // The server has not looked at the call, so it may be sent again, once, as it wants it now.
                Refused::OtherVersion(_) if !asked_anew => asked_anew = true,
                Refused::OtherVersion(reply) | Refused::Otherwise(reply) => return Ok(reply),
                Refused::Misread(message) => return Ok(Reply::Misread(message)),
                Refused::Cancelled => return over_before_answer(Over::Cancelled),
            }
        }
    }

    /// Chooses the era, opens a session where one is needed, and writes the request.
    async fn prepare(self: &Arc<Self>, outgoing: &Outgoing<'_>) -> Result<Prepared> {
        let dialects = self.dialects(outgoing.credential).await?;
        let client = outgoing.client.era();
        let seat = outgoing.tasks.as_deref().and_then(TaskIds::seat);
        let upstream = match seat {
            Some(_) => Era::Legacy,
            None => dialects.era_for(client),
        };
        let asks = outgoing.asks_at(upstream, self.limits());
        let session = match upstream {
            Era::Modern => None,
            Era::Legacy if seat.is_some() => seat.map(|seat| self.seated(seat, outgoing.credential)).transpose()?,
            Era::Legacy => {
                let session = self.session_for(&outgoing.client, outgoing.credential, asks);
                let wanted = match &outgoing.client {
                    ClientSide::Legacy { session, .. } => Some(session.version),
                    _ => None,
                };
                let version = legacy_version(wanted, &dialects.legacy_versions);
                let open = session
                    .get(async || Box::pin(self.shake_hands(version, outgoing.credential, asks)).await)
                    .await?;
                if let ClientSide::Legacy { session: own, .. } = &outgoing.client
                    && let Some(opening) = own.opened(&session, &open)
                {
                    // What the server says there in the middle of the call is lost if it comes first.
                    let _ = Box::pin(tokio::time::timeout(OPENING, opening)).await;
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
        let params = convert::params(outgoing, upstream, name);
        let same_text = client == Some(upstream) && sent == outgoing.id && matches!(params, Cow::Borrowed(_));
        let text = match &outgoing.unchanged {
            Some(text) if same_text => text.clone(),
            _ => envelope::request(&sent, &outgoing.method, Some(&params.to_bytes())),
        };
        let mut headers = self.headers(outgoing.credential, &outgoing.passthrough);
        match &session {
            Some((_, open)) => open.write(&mut headers),
            None => {
                mcp::write_mirrors(&mut headers, &outgoing.method, &params);
                headers.insert(
                    mcp::PROTOCOL_VERSION,
                    HeaderValue::from_static(ProtocolVersion::NEWEST.as_str()),
                );
                mcp::write_params(&mut headers, outgoing.mirrored, params.get("arguments"));
            }
        }
        let unanswered = match &session {
            None => Unanswered::modern(),
            Some((session, open)) => Unanswered::legacy(
                Some(session.clone()),
                self.clone(),
                open.clone(),
                outgoing.credential.clone(),
                sent.clone(),
                outgoing.client.hanging_up(),
            ),
        };
        let mut conversion = Conversion::new(outgoing, upstream, sent, &self.server);
        conversion.asks = asks;
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
    fn seated(self: &Arc<Self>, seat: &Seat, credential: &Arc<Outbound>) -> Result<(Arc<UpstreamSession>, Arc<Open>)> {
        let open = Open::at(seat).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let open = Arc::new(open);
        let session = UpstreamSession::seated(self, credential.clone(), open.clone());
        Ok((Arc::new(session), open))
    }

    /// Tells by its head what an answer is.
    async fn reply(
        self: &Arc<Self>,
        response: Response<Driven>,
        conversion: Conversion,
        unanswered: Unanswered,
        patience: Patience,
    ) -> Result<Reply> {
        let (head, body) = response.into_parts();
        let is = |wanted| {
            let value = head
                .headers
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            value.is_some_and(|value| essence(value).eq_ignore_ascii_case(wanted))
        };
        if is("application/json") {
            let length = head.headers.get(header::CONTENT_LENGTH).is_some();
            return json::relay(
                body,
                length,
                conversion,
                unanswered,
                patience,
                &self.connector.config.limits,
            )
            .await;
        }
        if is("text/event-stream") {
            return Box::pin(events::relay(body, self.clone(), conversion, unanswered, patience)).await;
        }
        Err(conversion.odd("it answered with something that is neither JSON nor events"))
    }

    /// What a status other than 200 means.
    async fn refused(
        &self,
        response: Response<Driven>,
        conversion: &Conversion,
        mut unanswered: Unanswered,
        patience: &mut Patience,
    ) -> Result<Refused> {
        unanswered.answered();
        let (head, body) = response.into_parts();
        let text = match patience.wait(intake::collect(body, ERROR_BYTES)).await {
            Ok(text) => text.unwrap_or_default(),
            Err(Over::Timeout(error)) => return Err(error),
            Err(Over::Cancelled) => return Ok(Refused::Cancelled),
        };
        let status = head.status;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(self.unwelcome(status));
        }
        if status.is_client_error()
            && let Ok(envelope::Incoming::One(envelope::Message::Response(response))) =
                envelope::parse(&text, &envelope::Limits::default())
            && let envelope::Outcome::Error(raw) = &response.outcome
        {
            let code = ErrorObject::parse(raw).map(|error| error.code);
            let said = conversion.message(&response.outcome, None);
            if code.is_some_and(|code| speaks_otherwise(code, &conversion.method)) {
                self.known.forget();
            }
            return Ok(match (code, said) {
                (Some(mcp_error::UNSUPPORTED_PROTOCOL_VERSION), said) => Refused::OtherVersion(said.into()),
                (Some(mcp_error::HEADER_MISMATCH), Said::Message(message)) => Refused::Misread(message),
                (_, said) => Refused::Otherwise(said.into()),
            });
        }
        let failure = if status.is_redirection() {
            Failure::new(
                Cause::Config,
                format!("it redirects (HTTP {status}), which is not followed"),
            )
            .remedy("give the server's final URL")
        } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Failure::new(Cause::Connection, format!("it answered with HTTP {status}"))
        } else {
            // Another era than was believed answers like this too.
            self.known.forget();
            Failure::new(Cause::Protocol, format!("it answered with HTTP {status}"))
        };
        Err(self.failed(failure))
    }

    /// The session that belongs to a legacy client's, or the one that modern callers share.
    fn session_for(
        self: &Arc<Self>,
        client: &ClientSide<'_>,
        credential: &Arc<Outbound>,
        asks: Abilities,
    ) -> Arc<UpstreamSession> {
        let make = || Arc::new(UpstreamSession::new(self, credential.clone()));
        let subject = match client {
            ClientSide::Legacy { session, .. } => {
                return session.upstream(&self.server.name, |old| old.fits(self, credential.version), make);
            }
            ClientSide::Modern { caller, .. } => Some(caller.subject.clone()),
            ClientSide::Gateway => None,
        };
        let key = (subject, credential.version, asks);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() >= POOL
            && !pool.contains_key(&key)
            // One that no call is using; a pool that is in use all over grows by one.
            && let Some(idle) = pool.iter().find(|(_, session)| Arc::strong_count(session) == 1)
            && let idle = idle.0.clone()
            && let Some(session) = pool.remove(&idle)
        {
            self.tasks().spawn(async move { session.close().await });
        }
        pool.entry(key).or_insert_with(make).clone()
    }

    /// Asks a server to log from `level` on, once. One that does not log refuses, which is as good.
    pub(crate) async fn set_level(&self, open: &Open, credential: &Outbound, level: LogLevel) {
        if open.level.swap(level.number(), Ordering::Relaxed) == level.number() {
            return;
        }
        let mut params = RawObject::new();
        params.set("level", object::quote(level.as_str()));
        if let Err(error) = super::ask(self, open, credential, &Method::SetLevel, &params).await {
            tracing::debug!(server = %self.server.name, %error, "a server cannot be told from which level on to log");
        }
    }

    /// Sends something that wants no answer.
    pub(crate) async fn tell(&self, open: &Open, credential: &Outbound, text: Bytes) {
        let mut headers = self.headers(credential, &HeaderMap::new());
        open.write(&mut headers);
        if let Err(error) = self.exchange(headers, text, credential, "a notification").await {
            tracing::debug!(server = %self.server.name, %error, "a notification did not arrive");
        }
    }

    /// Sends something in a session that another replica may have opened.
    pub(crate) async fn tell_seat(&self, seat: &Seat, credential: &Outbound, text: Bytes) -> Result<()> {
        let open = Open::at(seat).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let mut headers = self.headers(credential, &HeaderMap::new());
        open.write(&mut headers);
        let (head, _) = self
            .exchange(headers, text, credential, "an answer of a client")
            .await?;
        if head.status.is_success() {
            return Ok(());
        }
        Err(self.failed(Failure::new(
            Cause::Protocol,
            format!("it does not take the client's answer (HTTP {})", head.status),
        )))
    }

    /// Goes on with a call whose stream was left, perhaps by another replica.
    pub(crate) async fn resume(self: &Arc<Self>, left: &Left, heir: Heir<'_>) -> Result<Reply> {
        let open = Open::at(&left.seat).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let outgoing = heir.outgoing;
        let mut conversion = Conversion::new(outgoing, Era::Legacy, left.call.clone(), &self.server);
        conversion.retold = Some(heir.token);
        let unanswered = Unanswered::legacy(
            None,
            self.clone(),
            Arc::new(open),
            outgoing.credential.clone(),
            left.call.clone(),
            outgoing.client.hanging_up(),
        );
        let patience = Patience::new(&self.connector.config.timeouts, None);
        let relay = EventRelay::left(
            self.clone(),
            conversion,
            unanswered,
            patience,
            left.event.clone(),
            heir.known,
        );
        relay.settle().await
    }

    /// Takes a stream up again, from after the event `from`.
    pub(crate) async fn take_up(&self, open: &Open, credential: &Outbound, from: &Bytes) -> TakenUp {
        let Ok(from) = HeaderValue::from_bytes(from) else {
            return TakenUp::Never;
        };
        let mut headers = self.headers(credential, &HeaderMap::new());
        open.write(&mut headers);
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, EVENTS);
        headers.insert(mcp::LAST_EVENT_ID, from);
        let Ok(mut request) = self.post(headers, Bytes::new()) else {
            return TakenUp::Never;
        };
        *request.method_mut() = Verb::GET;
        let Ok(response) = self.send(request, credential).await else {
            return TakenUp::NotNow;
        };
        let status = response.status();
        match status {
            StatusCode::OK if is_events(response.headers()) => TakenUp::Body(Box::new(response.into_body())),
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => TakenUp::NotNow,
            _ => TakenUp::Never,
        }
    }

    /// How long a question may be open.
    pub(crate) fn question_time(&self) -> Duration {
        self.connector.config.timeouts.question
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, open: &Open, credential: &Outbound) {
        if open.id.is_none() {
            return;
        }
        let mut headers = self.headers(credential, &HeaderMap::new());
        open.write(&mut headers);
        let Ok(mut request) = self.post(headers, Bytes::new()) else {
            return;
        };
        *request.method_mut() = Verb::DELETE;
        let sending = self.send(request, credential);
        let _ = tokio::time::timeout(self.connector.config.timeouts.connect, sending).await;
    }

    /// A small request and the one message that answers it, within the time of a handshake.
    pub(super) async fn exchange(
        &self,
        headers: HeaderMap,
        text: Bytes,
        credential: &Outbound,
        what: &str,
    ) -> Result<(http::response::Parts, Bytes)> {
        let after = self.connector.config.timeouts.handshake;
        let exchange = async {
            let response = self.send(self.post(headers, text)?, credential).await?;
            let (head, body) = response.into_parts();
            // Half an answer says nothing, in particular not that the server is a legacy one.
            let message = events::message(&head.headers, body, self.connector.config.limits.held_bytes).await;
            let message =
                message.ok_or_else(|| self.failed(Failure::new(Cause::Connection, "its answer broke off")))?;
            Ok((head, message))
        };
        match tokio::time::timeout(after, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout {
                action: format!("the answer of server {:?} to {what}", self.server.name.as_str()),
                after,
            }),
        }
    }

    pub(super) fn headers(&self, credential: &Outbound, passthrough: &HeaderMap) -> HeaderMap {
        let mut headers = self.fixed.clone();
        for (name, value) in passthrough {
            // What the entry and the protocol say wins.
            if !self.fixed.contains_key(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        crate::inject::credential(&mut headers, self.endpoint.token.as_ref(), credential);
        headers
    }

    pub(super) fn post(&self, headers: HeaderMap, text: Bytes) -> Result<Request<Full<Bytes>>> {
        let (_, target) = self.place()?;
        let mut request = Request::new(Full::new(text));
        *request.method_mut() = Verb::POST;
        *request.uri_mut() = target.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>, credential: &Outbound) -> Result<Response<Driven>> {
        match &credential.renewal {
            None => self.send_once(request).await,
            Some(_) => Box::pin(self.send_renewing(request, credential)).await,
        }
    }

    async fn send_once(&self, request: Request<Full<Bytes>>) -> Result<Response<Driven>> {
        let (uri, _) = self.place()?;
        self.connector
            .send(&self.server.name, uri, &self.connections, request)
            .await
    }

    fn place(&self) -> Result<&(http::Uri, http::Uri)> {
        let place = self.place.as_ref();
        place.ok_or_else(|| self.failed(Failure::new(Cause::Config, "its URL cannot be called")))
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure,
        }
    }

    /// 401 or 403: it is ours to solve, and never told to the client as its own.
    fn unwelcome(&self, status: StatusCode) -> Error {
        self.failed(
            Failure::new(
                Cause::Credential,
                format!("it refuses the credential that it was sent (HTTP {status})"),
            )
            .remedy("check the credential of this install"),
        )
    }
}

/// A URL as an address to connect to, and as what the request asks for there.
fn place(url: &url::Url) -> Option<(http::Uri, http::Uri)> {
    let whole: http::Uri = url.as_str().parse().ok()?;
    let target = whole.path_and_query()?.as_str().parse().ok()?;
    Some((whole, target))
}

/// The `Host` of a URL: with its port, unless that is the scheme's own (RFC 9110 7.2).
fn host(url: &url::Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let text = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(text).ok()
}

fn is_events(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| essence(value).eq_ignore_ascii_case("text/event-stream"))
}

impl Open {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(mcp::PROTOCOL_VERSION, self.version.clone());
        if let Some(id) = &self.id {
            headers.insert(mcp::SESSION_ID, id.clone());
        }
    }
}

/// Whether an error under a 4xx is one that a server of the other era gives: then it is asked anew what it speaks.
fn speaks_otherwise(code: i64, method: &Method) -> bool {
    match code {
        mcp_error::HEADER_MISMATCH | mcp_error::INVALID_REQUEST | mcp_error::UNSUPPORTED_PROTOCOL_VERSION => true,
        // Of a method that every server has. Others may not be there (2026-07-28, basic/transports).
        mcp_error::METHOD_NOT_FOUND => *method == Method::ToolsCall,
        _ => false,
    }
}

/// The end of a wait before there is anything to relay.
pub(crate) fn over_before_answer(over: Over) -> Result<Reply> {
    match over {
        Over::Timeout(error) => Err(error),
        // To a call that was cancelled there is nothing to say: a stream that ends is all (2025-11-25, basic/cancellation).
        Over::Cancelled => Ok(Reply::Stream(crate::body::Body::empty())),
    }
}
