//! A product's first hour: its own login, two users, three servers (one remote, two stdio), labels, an audit file, a status
//! page and an orderly end, in one axum application.
//!
//! ```text
//! cargo run --example first_hour
//! curl -X POST http://127.0.0.1:8080/login -H 'content-type: application/json' -d '{"user":"alice","password":"wonderland"}'
//! curl http://127.0.0.1:8080/status
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to people")]

mod audit;
mod crm;
#[path = "../quickstart/demo.rs"]
mod demo;
mod login;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use portolan::{
    Action, Caller, Decision, Delivery, Error, Field, FieldKey, InstallStatus, Labels, Owner, Platform, PolicyFn, Role,
    Selection, ServerSpec, UserId, stop_signal,
};
use tokio::net::TcpListener;

use crate::{audit::JsonLines, login::Login};

const ADDRESS: &str = "127.0.0.1:8080";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The stdio servers are this same program, so that nothing has to be installed for them.
    if std::env::args().any(|arg| arg == "--be-demo-server") {
        demo::serve();
        return Ok(());
    }
    let login = Login::with_users();
    let admin = Role::parse("admin")?;
    let only_admins_add = move |caller: &Caller, action: &Action<'_>| match action.tool() {
        Some(tool) if tool.name().as_str() == "add" && !caller.roles.contains(&admin) => {
            Decision::deny_because("only administrators add")
        }
        _ => Decision::Allow,
    };
    let platform = Platform::builder("first_hour.db")
        .authenticator(login.clone()) // asked first; the platform's own tokens open too
        .policy(PolicyFn(only_admins_add))
        .audit(JsonLines::append("first_hour.audit.jsonl")?)
        .build()
        .await?;

    let app = Router::new()
        .route("/status", get(status))
        .with_state(platform.clone())
        .route("/login", post(login::log_in))
        .with_state(login)
        .route("/crm", post(crm::answer)) // in a real product, this runs elsewhere
        .merge(platform.router());
    let listener = TcpListener::bind(ADDRESS).await?;
    let end = platform.shutdown_on(stop_signal(), Duration::from_secs(10));
    // The remote server is on this listener, so it is served before it is installed.
    let serving = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(end).await });

    set_up(&platform).await?;
    println!("http://{ADDRESS}/status, /mcp/blue for alice and /mcp/green for bob; Ctrl-C ends");
    // When this returns no child process is left, and no stream to a server is open.
    Ok(serving.await??)
}

/// Servers, installs and gateways. All of it may run at each start: what is there already stays.
async fn set_up(platform: &Platform) -> portolan::Result<()> {
    let (blue, green) = (team("blue")?, team("green")?);

    let crm = platform.ensure(crm_spec(&blue)?).await?;
    let notes = platform.ensure(stdio("notes", &blue)?).await?;
    let sums = platform.ensure(stdio("sums", &green)?).await?;

    // Alice's key for the CRM serves Alice only, whoever else asks.
    let alice = Owner::Personal(UserId::parse("alice")?);
    platform.install_with(&crm, alice, [("api_key", crm::KEY)]).await?;
    platform.install(&notes, Owner::Org).await?;
    platform.install(&sums, Owner::Org).await?;

    for (name, labels) in [("blue", blue), ("green", green)] {
        let gateway = platform.gateway(name).select(Selection::ByLabels);
        gateway.change(move |gateway| gateway.labels = labels.clone()).await?;
    }
    Ok(())
}

fn team(name: &str) -> portolan::Result<Labels> {
    Labels::new([("team", name)])
}

/// A remote server that wants a key of its user in a header.
fn crm_spec(labels: &Labels) -> portolan::Result<ServerSpec> {
    let header = Delivery::Header {
        name: "x-api-key".into(),
        prefix: String::new(),
    };
    let mut key = Field::new(FieldKey::parse("api_key")?, header);
    (key.secret, key.required) = (true, true);
    let mut spec = ServerSpec::remote("crm", format!("http://{ADDRESS}/crm"))?.field(key);
    spec.labels = labels.clone();
    Ok(spec)
}

fn stdio(name: &str, labels: &Labels) -> portolan::Result<ServerSpec> {
    let this = std::env::current_exe()
        .map_err(|fault| Error::invalid("the demo server", format!("cannot be found: {fault}")))?;
    let mut spec = ServerSpec::command(name, this.to_string_lossy(), ["--be-demo-server"])?;
    spec.labels = labels.clone();
    Ok(spec)
}

/// The status page: each install, whether it can be called, why not, and what to do.
async fn status(State(platform): State<Platform>) -> Result<Json<Vec<InstallStatus>>, (StatusCode, String)> {
    match platform.status().await {
        Ok(installs) => Ok(Json(installs)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
