//! A broker and connect pages in front of a scripted provider, with two users and an install for each.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header, request::Parts};
use portolan_core::{
    Caller, Clock, CredentialBroker, CredentialContext, Error, Failure, Install, OAuthOptions, Owner, Precondition,
    Registry, Result, ServerSpec, StoredCredentials, Subject, UpstreamAuth, UpstreamCredential, UserId,
    conformance::sample,
    memory::{ManualClock, MemoryCredentials, MemoryOneTime, MemoryRegistry},
};
use portolan_identity::{
    BrowserSession, ConnectConfig, ConnectPages, EgressClient, EgressConfig, OAuthBroker, OAuthConfig,
};
use url::Url;

use crate::provider::Provider;

pub(crate) const PUBLIC: &str = "https://mcp.example.com/connect";

#[derive(Debug)]
struct TestSession;

#[async_trait::async_trait]
impl BrowserSession for TestSession {
    async fn signed_in(&self, request: &Parts) -> Result<Option<Caller>> {
        let user = request.headers.get("x-user").and_then(|user| user.to_str().ok());
        Ok(user.map(caller))
    }
}

pub(crate) fn caller(user: &str) -> Caller {
    Caller::new(Subject::User(UserId::parse(user).expect("a user")), "test")
}

pub(crate) struct Bed {
    pub(crate) provider: Provider,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryCredentials>,
    pub(crate) broker: OAuthBroker,
    pub(crate) pages: ConnectPages,
    pub(crate) server: ServerSpec,
    /// Alice's install.
    pub(crate) install: Install,
}

/// What a browser holds.
pub(crate) struct Browser {
    pub(crate) user: &'static str,
    pub(crate) cookie: String,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(UpstreamAuth::AuthorizationCode(OAuthOptions::default())).await
    }

    pub(crate) async fn with(auth: UpstreamAuth) -> Self {
        let provider = Provider::start().await;
        let clock = Arc::new(ManualClock::new(sample::time(1_000_000)));
        let store = Arc::new(MemoryCredentials::new());
        let broker = Self::broker(&store, &clock);
        let server = ServerSpec::remote("notes", format!("{}/mcp", provider.base))
            .expect("a server")
            .auth(auth);
        let mut install = sample::install(1);
        install.server = server.name.clone();
        install.owner = Owner::Personal(UserId::parse("alice").expect("a user"));
        let registry = Arc::new(MemoryRegistry::new());
        registry
            .put(server.clone().into(), Precondition::Absent)
            .await
            .expect("stored");
        registry
            .put(install.clone().into(), Precondition::Absent)
            .await
            .expect("stored");
        let pages = ConnectPages::new(
            ConnectConfig::default(),
            broker.clone(),
            registry,
            Arc::new(MemoryOneTime::new()),
            Arc::new(TestSession),
            clock.clone(),
        );
        Self {
            provider,
            clock,
            store,
            broker,
            pages,
            server,
            install,
        }
    }

    /// A broker of one more replica.
    pub(crate) fn broker(store: &Arc<MemoryCredentials>, clock: &Arc<ManualClock>) -> OAuthBroker {
        let egress = EgressConfig::default()
            .allow_host("127.0.0.1")
            .with_timeout(Duration::from_millis(500));
        OAuthBroker::new(
            OAuthConfig::new(PUBLIC.parse().expect("a URL")),
            EgressClient::new(egress).expect("a client"),
            store.clone(),
            Arc::new(StoredCredentials::new(store.clone())),
            clock.clone() as Arc<dyn Clock>,
        )
    }

    pub(crate) fn replica(&self) -> OAuthBroker {
        Self::broker(&self.store, &self.clock)
    }

    pub(crate) async fn send(
        &self,
        browser: Option<&Browser>,
        method: &str,
        path: &str,
        body: String,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("/connect{path}"));
        if let Some(browser) = browser {
            request = request
                .header("x-user", browser.user)
                .header(header::COOKIE, &browser.cookie);
        }
        self.pages
            .handle(request.body(Bytes::from(body)).expect("a request"))
            .await
    }

    /// Opens the page of the install, and returns the browser with its cookie, and the token of the forms.
    pub(crate) async fn open(&self, user: &'static str) -> (Browser, String) {
        let mut browser = Browser {
            user,
            cookie: String::new(),
        };
        let page = self
            .send(Some(&browser), "GET", &format!("/{}", self.install.name), String::new())
            .await;
        let cookie = page.headers()[header::SET_COOKIE].to_str().expect("text");
        browser.cookie = cookie.split(';').next().expect("a pair").to_owned();
        let text = text(&page);
        let token = text
            .split("name=\"token\" value=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        (browser, token.unwrap_or_default().to_owned())
    }

    /// Begins a sign-in; returns the browser, and where it is sent.
    pub(crate) async fn start(&self) -> Result<(Browser, Url), Response<Bytes>> {
        let (browser, token) = self.open("alice").await;
        let body = format!("action=start&token={token}");
        let answer = self
            .send(Some(&browser), "POST", &format!("/{}", self.install.name), body)
            .await;
        if answer.status() != 303 {
            return Err(answer);
        }
        let location = answer.headers()[header::LOCATION].to_str().expect("text");
        Ok((browser, location.parse().expect("a URL")))
    }

    pub(crate) fn callback(&self, at: &Url) -> String {
        let state = parameter(at, "state").expect("a state");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("code", "the-code")
            .append_pair("state", &state)
            .append_pair("iss", &self.provider.base)
            .finish();
        format!("/callback?{query}")
    }

    /// Signs in; returns the last page.
    pub(crate) async fn connect(&self) -> Response<Bytes> {
        match self.start().await {
            Ok((browser, at)) => {
                self.send(Some(&browser), "GET", &self.callback(&at), String::new())
                    .await
            }
            Err(answer) => answer,
        }
    }

    pub(crate) async fn connected(&self) {
        let page = self.connect().await;
        assert_eq!(page.status(), 200, "{}", text(&page));
    }

    pub(crate) async fn ask(&self, broker: &OAuthBroker, user: &str) -> Result<Arc<UpstreamCredential>> {
        let caller = caller(user);
        broker
            .credential(&CredentialContext::new(&caller, &self.server, &self.install))
            .await
    }

    /// The bearer token that Alice's calls carry.
    pub(crate) async fn token(&self) -> String {
        bearer(&self.ask(&self.broker, "alice").await.expect("a credential"))
    }

    pub(crate) async fn failure(&self) -> Failure {
        failure(self.ask(&self.broker, "alice").await)
    }
}

pub(crate) fn failure(result: Result<Arc<UpstreamCredential>>) -> Failure {
    match result {
        Err(Error::NotReady { failure, .. }) => failure,
        other => panic!("not ready, not {other:?}"),
    }
}

pub(crate) fn bearer(credential: &UpstreamCredential) -> String {
    let found = credential
        .headers
        .iter()
        .find(|(name, _)| *name == header::AUTHORIZATION);
    found.map(|(_, value)| value.reveal().to_owned()).unwrap_or_default()
}

pub(crate) fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}
