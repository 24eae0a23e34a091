//! The handler of all pages.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use maud::html;
use portolan_core::{
    Answers, Caller, Clock, Delivery, Error, Install, InstallName, OneTimeStore, Registry, RegistryExt, Secret,
    ServerSpec, Subject, UpstreamAuth, UserId,
    orchestrator::{InstallRequest, Orchestrator},
};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

use super::{
    browser::{BrowserCookie, form_token, random, same},
    config::ConnectConfig,
    html::{self, Theme},
    session::BrowserSession,
};
use crate::outbound::{ConnectionState, OAuthBroker, OAuthError, PendingAuthorization};

const PURPOSE: &str = "connect-state";
/// The most bytes of a form.
const MAX_FORM: usize = 64 << 10;

/// The pages below [`OAuthConfig::connect_url`](crate::OAuthConfig::connect_url), for any server of HTTP.
///
/// | path | page |
/// | --- | --- |
/// | `/` | the installs that the user may connect |
/// | `/<install>` | sign in, fill in fields, disconnect |
/// | `/callback` | where providers send the browser back to |
/// | `/client.json` | the client id metadata document |
///
/// A link is no credential: the page asks the host who is signed in ([`BrowserSession`]), and shows an install only to
/// people who may manage it; to others it looks unknown. A sign-in ends in the browser, and for the user, that began it.
/// Pages have no script; forms carry a token against forgery.
#[derive(Clone)]
pub struct ConnectPages {
    broker: OAuthBroker,
    registry: Arc<dyn Registry>,
    states: Arc<dyn OneTimeStore>,
    session: Arc<dyn BrowserSession>,
    clock: Arc<dyn Clock>,
    orchestrator: Option<Arc<Orchestrator>>,
    cookie: Arc<BrowserCookie>,
    theme: Arc<Theme>,
    sign_in_within: Duration,
}

impl fmt::Debug for ConnectPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectPages")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

/// What is kept of a sign-in until the browser returns.
#[derive(Serialize, Deserialize)]
struct Started {
    install: InstallName,
    user: UserId,
    /// The cookie of the browser.
    browser: String,
    pending: PendingAuthorization,
}

/// What a page is made for.
struct Visit<'a> {
    caller: Caller,
    user: UserId,
    browser: &'a str,
}

/// Why there is no page.
enum Refusal {
    /// Nobody is signed in.
    SignIn,
    /// There is no such page, or it is somebody else's.
    Unknown,
    /// A page that says what is wrong.
    Problem(StatusCode, String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } | Error::Denied { .. } => Self::Unknown,
            Error::Invalid { .. } => Self::Problem(StatusCode::BAD_REQUEST, error.to_string()),
            other => Self::Problem(StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
        }
    }
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        let status = if error.is_transient() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::BAD_GATEWAY
        };
        Self::Problem(status, error.to_string())
    }
}

impl ConnectPages {
    /// Creates pages for the installs in `registry`.
    pub fn new(
        config: ConnectConfig,
        broker: OAuthBroker,
        registry: Arc<dyn Registry>,
        states: Arc<dyn OneTimeStore>,
        session: Arc<dyn BrowserSession>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let secure = broker.config().connect_url.scheme() == "https";
        Self {
            broker,
            registry,
            states,
            session,
            clock,
            orchestrator: None,
            cookie: Arc::new(BrowserCookie { secure }),
            theme: Arc::new(Theme {
                title: config.title,
                style: config.style,
                plain_http: !secure,
            }),
            sign_in_within: config.sign_in_within,
        }
    }

    /// Installs again by `orchestrator` what was connected or answered, so that its tools become known. Without it, fields
    /// cannot be filled in here.
    #[must_use]
    pub fn with_orchestrator(mut self, orchestrator: Arc<Orchestrator>) -> Self {
        self.orchestrator = Some(orchestrator);
        self
    }

    /// Answers a request. The caller bounds the size of its body; forms above 64 KiB are refused.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let base = self.broker.config().connect_url.path().trim_end_matches('/');
        let path = parts
            .uri
            .path()
            .strip_prefix(base)
            .unwrap_or("/")
            .trim_start_matches('/');
        match (&parts.method, path) {
            (&Method::GET, "client.json") => return self.client_document(),
            (&Method::GET, _) if query == "style" => return self.theme.style(),
            _ => {}
        }
        let (browser, is_new) = match (self.cookie.read(&parts.headers), random()) {
            (Some(known), _) => (known, false),
            (None, Ok(new)) => (new, true),
            (None, Err(error)) => return self.refused(Refusal::from(error), &parts),
        };
        let mut response = match self.page(&parts, path, query, &body, &browser).await {
            Ok(response) => response,
            Err(refusal) => self.refused(refusal, &parts),
        };
        if is_new && let Ok(value) = HeaderValue::try_from(self.cookie.set(&browser)) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        response
    }

    async fn page(
        &self,
        parts: &Parts,
        path: &str,
        query: &str,
        body: &[u8],
        browser: &str,
    ) -> Result<Response<Bytes>, Refusal> {
        let caller = self.session.signed_in(parts).await?.ok_or(Refusal::SignIn)?;
        let Subject::User(user) = caller.subject.clone() else {
            return Err(Refusal::Unknown);
        };
        let visit = Visit { caller, user, browser };
        match (&parts.method, path) {
            (&Method::GET, "") => self.list(&visit).await,
            (&Method::GET, "callback") => self.callback(&visit, query).await,
            (&Method::GET, name) => {
                let (server, install) = self.find(&visit, name).await?;
                self.show(&visit, &server, &install, None).await
            }
            (&Method::POST, name) => self.act(&visit, name, body).await,
            _ => Err(Refusal::Problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "use GET or POST".into(),
            )),
        }
    }

    /// Finds an install that the visitor may manage.
    async fn find(&self, visit: &Visit<'_>, name: &str) -> Result<(ServerSpec, Install), Refusal> {
        let name = InstallName::parse(name).map_err(|_| Refusal::Unknown)?;
        let install = self.registry.install(&name).await?.value;
        let may = visit.caller.may_use(&install.owner) && self.session.may_manage(&visit.caller, &install.owner);
        if !may || install.is_deleted() {
            return Err(Refusal::Unknown);
        }
        let server = self.registry.server(&install.server).await?.value;
        Ok((server, install))
    }

    async fn show(
        &self,
        visit: &Visit<'_>,
        server: &ServerSpec,
        install: &Install,
        problem: Option<&str>,
    ) -> Result<Response<Bytes>, Refusal> {
        let token = form_token(visit.browser, visit.user.as_str(), &install.name.to_string());
        let content = if matches!(server.auth, UpstreamAuth::AuthorizationCode(_)) {
            let state = self.broker.connections().state(&install.name).await?;
            html::sign_in(server, install, &state, &token)
        } else {
            html::fields(server, install, problem, &token)
        };
        let status = if problem.is_some() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        Ok(self
            .theme
            .page(status, &format!("Connect {}", html::title(server)), &content))
    }

    async fn list(&self, visit: &Visit<'_>) -> Result<Response<Bytes>, Refusal> {
        let mut rows = Vec::new();
        for install in self.registry.installs().await? {
            let install = install.value;
            if install.is_deleted()
                || !visit.caller.may_use(&install.owner)
                || !self.session.may_manage(&visit.caller, &install.owner)
            {
                continue;
            }
            let state = match self.broker.connections().state(&install.name).await? {
                ConnectionState::Connected { .. } => "connected",
                ConnectionState::Revoked { .. } => "sign in again",
                ConnectionState::Absent => "not signed in",
            };
            rows.push((install.title(), self.broker.link(&install.name).to_string(), state));
        }
        Ok(self.theme.page(StatusCode::OK, "Your connections", &html::list(&rows)))
    }

    async fn act(&self, visit: &Visit<'_>, name: &str, body: &[u8]) -> Result<Response<Bytes>, Refusal> {
        if body.len() > MAX_FORM {
            return Err(Refusal::Problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the form is too long".into(),
            ));
        }
        let (server, install) = self.find(visit, name).await?;
        let form: Vec<(String, String)> = form_urlencoded::parse(body)
            .take(256)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let value = |wanted: &str| {
            form.iter()
                .find(|(name, _)| name == wanted)
                .map_or("", |(_, value)| value)
        };
        let expected = form_token(visit.browser, visit.user.as_str(), &install.name.to_string());
        if !same(value("token"), &expected) {
            let problem = "this form is not from this page; open the page again";
            return Err(Refusal::Problem(StatusCode::FORBIDDEN, problem.into()));
        }
        match value("action") {
            "start" => self.start(visit, &server, &install).await,
            "disconnect" => {
                self.broker.disconnect(&server, &install).await?;
                let content = html! { p role="status" { "The tokens are forgotten." } };
                Ok(self.theme.page(StatusCode::OK, "Disconnected", &content))
            }
            "answer" => self.answer(visit, &server, &install, &value).await,
            _ => Err(Refusal::Problem(
                StatusCode::BAD_REQUEST,
                "the form has no action".into(),
            )),
        }
    }

    async fn start(
        &self,
        visit: &Visit<'_>,
        server: &ServerSpec,
        install: &Install,
    ) -> Result<Response<Bytes>, Refusal> {
        let state = random()?;
        let request = self.broker.authorize(server, install, &state).await?;
        let started = Started {
            install: install.name,
            user: visit.user.clone(),
            browser: visit.browser.to_owned(),
            pending: request.pending,
        };
        let now = self.clock.now();
        let expires = now.checked_add(self.sign_in_within).map_err(|_| Refusal::Unknown)?;
        // A derived implementation over texts: it does not fail.
        let payload = Secret::new(serde_json::to_string(&started).unwrap_or_default());
        self.states.put(PURPOSE, &state, payload, expires, now).await?;
        self.see_other(&request.url)
    }

    async fn callback(&self, visit: &Visit<'_>, query: &str) -> Result<Response<Bytes>, Refusal> {
        let expired = || {
            let problem = "this sign-in has ended already or took too long; begin again on the page of the server";
            Refusal::Problem(StatusCode::BAD_REQUEST, problem.into())
        };
        let state = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "state");
        let state = state
            .map(|(_, state)| state)
            .filter(|state| !state.is_empty())
            .ok_or_else(expired)?;
        let found = self
            .states
            .take(PURPOSE, &state, self.clock.now())
            .await?
            .ok_or_else(expired)?;
        let started: Started = serde_json::from_str(found.reveal()).map_err(|_| expired())?;
        if !same(&started.browser, visit.browser) || started.user != visit.user {
            let problem =
                "this sign-in was begun in another browser or by another user; begin again on the page of the server";
            return Err(Refusal::Problem(StatusCode::FORBIDDEN, problem.into()));
        }
        let (server, install) = self.find(visit, &started.install.to_string()).await?;
        self.broker
            .finish(&server, &install, &started.pending, query, visit.user.clone())
            .await?;
        self.connected(&server, &install, Answers::new()).await
    }

    async fn answer<'f>(
        &self,
        visit: &Visit<'_>,
        server: &ServerSpec,
        install: &Install,
        value: &(impl Fn(&str) -> &'f str + Sync),
    ) -> Result<Response<Bytes>, Refusal> {
        let mut answers = Answers::new();
        for (number, field) in server.fields.iter().enumerate() {
            let text = value(&format!("field-{number}"));
            if text.is_empty() {
                continue;
            }
            if let Err(error) = field.check_answer(text) {
                return self.show(visit, server, install, Some(&error.to_string())).await;
            }
            answers = match field.secret {
                true => answers.secret(field.key.as_str(), text),
                false => answers.set(field.key.as_str(), text),
            };
        }
        self.connected(server, install, answers).await
    }

    /// Installs again with what is stored and `answers`, and says that it is connected.
    async fn connected(
        &self,
        server: &ServerSpec,
        install: &Install,
        answers: Answers,
    ) -> Result<Response<Bytes>, Refusal> {
        let mut problem = None;
        if let Some(orchestrator) = &self.orchestrator {
            let mut all = answers.clone();
            for field in server
                .fields
                .iter()
                .filter(|field| !matches!(field.delivery, Delivery::Argument if field.secret))
            {
                let key = field.key.as_str();
                if answers.plain().contains_key(key) || answers.secrets().contains_key(key) {
                    continue;
                }
                if let Some(answer) = install.answers.get(&field.key) {
                    all = all.set(key, answer);
                } else if let Some(stored) = install.secrets.get(&field.key)
                    && let Some(found) = self.broker.connections().store().read(stored).await?
                {
                    all = all.secret(key, found.value);
                }
            }
            let request = InstallRequest::new(install.server.clone(), install.owner.clone()).answers(all);
            problem = orchestrator.install(request).await.err().map(|error| error.to_string());
        } else if !answers.plain().is_empty() || !answers.secrets().is_empty() {
            let problem = "this host does not take answers here; install the server again with them";
            return Err(Refusal::Problem(StatusCode::NOT_IMPLEMENTED, problem.into()));
        }
        let content = html! {
            p role="status" { (html::title(server)) " is connected. You can close this page and go on." }
            @if let Some(problem) = problem { p role="alert" { "It does not answer yet: " (problem) } }
        };
        Ok(self.theme.page(StatusCode::OK, "Connected", &content))
    }

    fn see_other(&self, url: &Url) -> Result<Response<Bytes>, Refusal> {
        let mut response = self.theme.response(StatusCode::SEE_OTHER, "text/plain", String::new());
        let location = HeaderValue::try_from(url.as_str()).map_err(|_| Refusal::Unknown)?;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }

    fn client_document(&self) -> Response<Bytes> {
        let config = self.broker.config();
        let document = serde_json::json!({
            "client_id": config.client_document().as_str(),
            "client_name": config.client_name,
            "redirect_uris": [config.redirect_uri().as_str()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "web",
        });
        self.theme
            .response(StatusCode::OK, "application/json", document.to_string())
    }

    fn refused(&self, refusal: Refusal, parts: &Parts) -> Response<Bytes> {
        match refusal {
            Refusal::SignIn => {
                let mut here = self.broker.config().connect_url.clone();
                // The callback's query is used up; other pages have none.
                here.set_path(parts.uri.path());
                let login = self.session.login_url(&here);
                let content = html! {
                    p { "Nobody is signed in here." }
                    @if let Some(login) = login { p { a href=(login) { "Sign in" } } }
                };
                self.theme.page(StatusCode::UNAUTHORIZED, "Sign in first", &content)
            }
            Refusal::Unknown => {
                let content = html! {
                    p { "There is nothing to connect here for the user who is signed in. If the link was made for another \
                         account, sign in with that one." }
                };
                self.theme.page(StatusCode::NOT_FOUND, "Not found", &content)
            }
            Refusal::Problem(status, problem) => {
                let content = html! { p role="alert" { (problem) } };
                self.theme.page(status, "This did not work", &content)
            }
        }
    }
}
