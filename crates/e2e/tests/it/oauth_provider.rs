//! Signing in at the real `oidc-provider`, and its tokens at an MCP endpoint: registration, code, rotation, revocation.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, header};
use portolan_core::{
    Caller, Clock, CredentialBroker, CredentialContext, Install, InstallName, OAuthOptions, Owner, ServerSpec,
    StoredCredentials, Subject, SystemClock, UpstreamAuth, UserId,
    memory::{ManualClock, MemoryCredentials},
};
use portolan_identity::{EgressClient, EgressConfig, OAuthBroker, OAuthConfig};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use url::Url;

use crate::parts;

/// The provider as a program; it ends with this value.
struct Oidc {
    _child: Child,
    origin: String,
}

async fn start() -> Result<Oidc> {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/oidc.mjs");
    let line = parts::node(&script)?;
    let mut child = Command::new(&line[0])
        .arg(&line[1])
        .arg(parts::folder()?.join("npm"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let origin = lines.next_line().await?.context("the provider ended")?;
    // It goes on writing, and would end if nobody read.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Oidc { _child: child, origin })
}

/// A browser without script: it keeps cookies, follows redirects, and fills in the provider's forms.
struct Browser {
    http: EgressClient,
    cookies: Vec<(String, String)>,
}

impl Browser {
    async fn send(&mut self, request: http::request::Builder, body: String) -> Result<Response<Bytes>> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = request
            .header(header::COOKIE, cookies.join("; "))
            .body(Bytes::from(body))?;
        let answer = self.http.send(request).await?;
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let pair = set.to_str()?.split(';').next().context("a cookie")?;
            let (name, value) = pair.split_once('=').context("a cookie")?;
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        Ok(answer)
    }

    /// Signs in and consents, until the provider sends the browser to `until`; returns the query.
    async fn sign_in(&mut self, mut at: Url, until: &Url) -> Result<String> {
        let mut answer = self.send(Request::get(at.as_str()), String::new()).await?;
        for _ in 0..20 {
            if let Some(location) = answer.headers().get(header::LOCATION) {
                at = at.join(location.to_str()?)?;
                if at.path() == until.path() && at.host() == until.host() {
                    return Ok(at.query().unwrap_or_default().to_owned());
                }
                answer = self.send(Request::get(at.as_str()), String::new()).await?;
                continue;
            }
            let page = String::from_utf8_lossy(answer.body()).into_owned();
            ensure!(answer.status() == 200, "{at}: {} {page}", answer.status());
            let action = page
                .split("action=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .context("a form")?;
            at = at.join(action)?;
            let login = page.contains("name=\"login\"");
            let form = if login {
                "prompt=login&login=alice&password=x"
            } else {
                "prompt=consent"
            };
            let request = Request::post(at.as_str()).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            answer = self.send(request, form.into()).await?;
        }
        anyhow::bail!("the provider goes round in circles")
    }
}

#[tokio::test]
async fn oidc_provider_connects_and_rotates() -> Result<()> {
    let oidc = start().await?;
    let egress = EgressClient::new(EgressConfig::default().allow_host("127.0.0.1"))?;
    let (store, clock) = (
        Arc::new(MemoryCredentials::new()),
        Arc::new(ManualClock::new(SystemClock.now())),
    );
    let config = OAuthConfig::new("https://mcp.example.com/connect".parse()?);
    let until = config.redirect_uri();
    let fallback = Arc::new(StoredCredentials::new(store.clone()));
    let broker = OAuthBroker::new(config, egress.clone(), store, fallback, clock.clone());
    let server = ServerSpec::remote("notes", format!("{}/mcp", oidc.origin))?
        .auth(UpstreamAuth::AuthorizationCode(OAuthOptions::default()));
    let alice = UserId::parse("alice")?;
    let owner = Owner::Personal(alice.clone());
    let install = Install::new(InstallName::new(&SystemClock), server.name.clone(), owner, clock.now());
    let caller = Caller::new(Subject::User(alice.clone()), "test");
    let context = CredentialContext::new(&caller, &server, &install);

    let request = broker.authorize(&server, &install, "the-state").await?;
    let mut browser = Browser {
        http: egress.clone(),
        cookies: Vec::new(),
    };
    let query = browser.sign_in(request.url.clone(), &until).await?;
    ensure!(query.contains("state=the-state"), "{query}");
    broker
        .finish(&server, &install, &request.pending, &query, alice)
        .await?;

    let mut tokens = Vec::new();
    // Each hour a refresh, and each refresh spends the refresh token.
    for _ in 0..4 {
        let credential = broker.credential(&context).await?;
        let token = credential.headers[0].1.reveal().to_owned();
        let request = Request::post(format!("{}/mcp", oidc.origin)).header(header::AUTHORIZATION, &token);
        let answer = egress.send(request.body(Bytes::new())?).await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        ensure!(
            body.contains("\"account\":\"alice\"") && body.contains("notes:read"),
            "{body}"
        );
        ensure!(!tokens.contains(&token), "the token is not a new one");
        tokens.push(token);
        clock.advance(Duration::from_secs(3_601));
    }
    ensure!(broker.disconnect(&server, &install).await?, "the provider revokes");
    ensure!(broker.credential(&context).await.is_err(), "it is disconnected");
    Ok(())
}
