//! A provider of tokens, and a server that wants them, of which a test varies one thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    response::Response,
};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

/// An answer that a test sets.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) challenge: Option<String>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl ToString) -> Self {
        Self::text(status, "application/json", body)
    }

    pub(crate) fn text(status: u16, kind: &'static str, body: impl ToString) -> Self {
        Self {
            status,
            kind,
            body: body.to_string(),
            challenge: None,
        }
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Answers by path, in place of the usual ones.
    pub(crate) answers: BTreeMap<String, Answer>,
    /// Paths that are never answered.
    pub(crate) silent: BTreeSet<String>,
    pub(crate) seen: Vec<Seen>,
    /// Members of the usual answers that a test changes; `null` removes one.
    pub(crate) metadata: Value,
    pub(crate) token: Value,
    pub(crate) registration: Value,
    /// The number of the last token.
    pub(crate) last: usize,
    /// The refresh token that is good; a spent one ends the grant.
    pub(crate) good: Option<String>,
}

/// A running provider.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) base: String,
    script: Arc<Mutex<Script>>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let provider = Self {
            base,
            script: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("a script")
    }

    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.script().answers.insert(path.into(), answer);
    }

    pub(crate) fn requests(&self, path: &str) -> Vec<Seen> {
        self.script()
            .seen
            .iter()
            .filter(|seen| seen.path == path)
            .cloned()
            .collect()
    }

    pub(crate) fn usual_metadata(&self) -> Value {
        let base = &self.base;
        let mut metadata = json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "registration_endpoint": format!("{base}/register"),
            "revocation_endpoint": format!("{base}/revoke"),
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        change(&mut metadata, &self.script().metadata);
        metadata
    }

    fn usual(&self, seen: &Seen) -> Answer {
        let base = &self.base;
        match seen.path.as_str() {
            "/mcp" => {
                let url = format!("{base}/.well-known/oauth-protected-resource/mcp");
                let mut answer = Answer::json(401, "{}");
                answer.challenge = Some(format!("Bearer resource_metadata=\"{url}\""));
                answer
            }
            "/.well-known/oauth-protected-resource/mcp" => Answer::json(
                200,
                json!({"resource": format!("{base}/mcp"), "authorization_servers": [base]}),
            ),
            "/.well-known/oauth-authorization-server" => Answer::json(200, self.usual_metadata()),
            "/register" => {
                let asked: Value = serde_json::from_str(&seen.body).expect("JSON");
                let mut answer = json!({
                    "client_id": "dynamic-1",
                    "redirect_uris": asked["redirect_uris"],
                    "token_endpoint_auth_method": "none",
                });
                change(&mut answer, &self.script().registration);
                Answer::json(201, answer)
            }
            "/token" => self.token(seen),
            "/revoke" => Answer::text(200, "text/plain", ""),
            _ => Answer::json(404, "{}"),
        }
    }

    fn token(&self, seen: &Seen) -> Answer {
        let form = seen.form();
        let mut script = self.script();
        if form["grant_type"] == "refresh_token" && script.good.as_ref() != form.get("refresh_token") {
            // Reuse ends the whole grant.
            script.good = None;
            return Answer::json(
                400,
                json!({"error": "invalid_grant", "error_description": "spent or unknown"}),
            );
        }
        script.last += 1;
        let refresh = format!("refresh-{}", script.last);
        script.good = Some(refresh.clone());
        let mut answer = json!({
            "access_token": format!("access-{}", script.last),
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": refresh,
        });
        change(&mut answer, &script.token);
        Answer::json(200, answer)
    }
}

/// Sets members, and removes those that are the text `(none)`.
fn change(value: &mut Value, by: &Value) {
    for (name, member) in by.as_object().into_iter().flatten() {
        if member == "(none)" {
            value.as_object_mut().expect("an object").remove(name);
        } else {
            value[name] = member.clone();
        }
    }
}

async fn answer(State(provider): State<Provider>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let seen = Seen {
        path: parts.uri.path().to_owned(),
        authorization: authorization.map(|value| value.to_str().expect("text").to_owned()),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (silent, set) = {
        let mut script = provider.script();
        script.seen.push(seen.clone());
        (
            script.silent.contains(&seen.path),
            script.answers.get(&seen.path).cloned(),
        )
    };
    if silent {
        std::future::pending::<()>().await;
    }
    let answer = set.unwrap_or_else(|| provider.usual(&seen));
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
    let headers = response.headers_mut();
    if !answer.kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, answer.kind.parse().expect("a type"));
    }
    if let Some(challenge) = answer.challenge {
        headers.insert(header::WWW_AUTHENTICATE, challenge.parse().expect("a challenge"));
    }
    response
}
