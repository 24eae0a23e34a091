//! The product's own login: two users, and sessions in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, request::Parts},
};
use portolan::{AuthError, Authenticator, Caller, Challenge, GatewayName, Role, StaticTokens, Subject, UserId};
use serde_json::Value;

/// What the product's own tokens begin with.
const PREFIX: &str = "app_";

/// Who is logged in. A real product asks its database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    passwords: Arc<HashMap<&'static str, &'static str>>,
    sessions: Arc<Mutex<HashMap<String, Arc<Caller>>>>,
}

impl Login {
    pub(crate) fn with_users() -> Self {
        let passwords = HashMap::from([("alice", "wonderland"), ("bob", "builder")]);
        Self {
            passwords: Arc::new(passwords),
            sessions: Arc::default(),
        }
    }

    fn begin(&self, user: &str, password: &str) -> Option<String> {
        if self.passwords.get(user) != Some(&password) {
            return None;
        }
        let (random, _) = StaticTokens::mint().ok()?;
        let token = random.reveal().replacen("ptl_", PREFIX, 1);
        let mut caller = Caller::new(Subject::User(UserId::parse(user).ok()?), "login");
        if user == "alice" {
            caller = caller.with_roles([Role::parse("admin").ok()?]);
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(token.clone(), Arc::new(caller));
        Some(token)
    }
}

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        let header = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        // Another kind of token is for the next authenticator.
        let Some(token) = token.filter(|token| token.starts_with(PREFIX)) else {
            return Ok(None);
        };
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(token).cloned().map(Some).ok_or(AuthError::Invalid)
    }

    fn challenge(&self, gateway: &GatewayName) -> Option<Challenge> {
        Some(Challenge::bearer().with_realm(gateway.as_str()))
    }
}

/// `POST /login` with `{"user": …, "password": …}` answers a bearer token.
pub(crate) async fn log_in(State(login): State<Login>, Json(given): Json<Value>) -> Result<String, StatusCode> {
    let (user, password) = (given["user"].as_str(), given["password"].as_str());
    let token = user
        .zip(password)
        .and_then(|(user, password)| login.begin(user, password));
    token.ok_or(StatusCode::UNAUTHORIZED)
}
