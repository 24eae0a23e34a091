//! How cost grows with installs: `cargo bench --bench scale`.
//!
//! One SQLite file grows to each number of personal installs of 50 remote servers, with 30 tools of 1.2 KB each, behind a gateway
//! that selects all of them and one that selects by label. At each size a fresh process measures the start of a platform,
//! its memory, one more install, one changed label, and a call. It prints a table; with `--json FILE` it writes the figures,
//! and with `--sizes 100,1000` it takes other sizes. `--compare PROGRAM` runs this benchmark as another build made it, such as
//! of an earlier release, at the sizes of `--compare-sizes` in the same run.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, response::IntoResponse, routing};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes};
use portolan::{
    GatewaySpec, Install, InstallName, Labels, Owner, Platform, Registry, SealingKeys, Selection, ServerName,
    ServerSpec, SqlStore, StaticTokens,
    core::{Clock, GatewayName, InstallState, Precondition, Subject, SystemClock, TokenGrant, Tool, UserId},
    digest,
};
use serde_json::{Value, json};

const SERVERS: usize = 50;
const TOOLS: usize = 30;
const TOOL_BYTES: usize = 1_200;
/// How often a change is measured, and a call.
const CHANGES: usize = 21;
const CALLS: usize = 2_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let (Some(database), Some(url)) = (option("--measure"), option("--url")) {
        let installs = option("--installs").unwrap_or_default().parse()?;
        let figures = runtime.block_on(measure(Path::new(&database), &url, installs))?;
        println!("{figures}");
        return Ok(());
    }
    let sizes = |text: String| -> Result<Vec<usize>, Failure> {
        Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
    };
    let own = sizes(option("--sizes").unwrap_or_else(|| "100,1000,10000,50000".into()))?;
    let url = runtime.block_on(fake_server())?;
    if option("--only").is_some() {
        println!("{}", json!(runtime.block_on(grow(&own, &url))?));
        return Ok(());
    }
    let mut tables = vec![("this", runtime.block_on(grow(&own, &url))?)];
    if let Some(program) = option("--compare") {
        let sizes = option("--compare-sizes").unwrap_or_else(|| "100,1000,10000".into());
        let output = Command::new(program)
            .args(["--only", "yes", "--sizes", &sizes])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let last = text.lines().last().ok_or("the other program says nothing")?;
        tables.push(("other", serde_json::from_str(last)?));
    }
    for (name, rows) in &tables {
        print(name, rows);
    }
    if let Some(file) = option("--json") {
        let all: Vec<_> = tables
            .iter()
            .map(|(name, rows)| json!({"build": name, "rows": rows}))
            .collect();
        std::fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// Prints one table.
fn print(name: &str, rows: &[Value]) {
    println!(
        "{name}\n| installs | one more install | read | one label | read | start | a call | resolved | memory | file |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let of = |key: &str| row[key].as_f64().unwrap_or_default();
        println!(
            "| {} | {:.2} ms | {:.0} KiB | {:.2} ms | {:.0} KiB | {:.0} ms | {:.0} µs | {:.1} µs | {:.1} MiB | {:.1} MiB |",
            row["installs"],
            of("install_ms"),
            of("install_read") / 1024.0,
            of("label_ms"),
            of("label_read") / 1024.0,
            of("start_ms"),
            of("call_us"),
            of("resolve_us"),
            of("memory") / 1024.0 / 1024.0,
            of("file") / 1024.0 / 1024.0,
        );
    }
}

/// Grows one database, and measures it at each size in a process of its own.
async fn grow(sizes: &[usize], url: &str) -> Result<Vec<Value>, Failure> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("scale.db");
    seed_catalogue(&database, url).await?;
    let (mut there, mut rows) = (0, Vec::new());
    for size in sizes {
        seed_installs(&database, there..*size).await?;
        there = *size;
        // On a copy, so that each size is exact.
        let copy = directory.path().join(format!("{size}.db"));
        for (from, to) in [(database.clone(), copy.clone()), (keys(&database), keys(&copy))] {
            std::fs::copy(from, to)?;
        }
        let output = Command::new(std::env::current_exe()?)
            .args(["--measure".as_ref(), copy.as_os_str(), "--url".as_ref(), url.as_ref()])
            .args(["--installs", &size.to_string()])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let row = text.lines().last().ok_or("a measurement says nothing")?;
        rows.push(serde_json::from_str(row)?);
        std::fs::remove_file(&copy)?;
    }
    Ok(rows)
}

fn keys(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".keys");
    name.into()
}

async fn open(database: &Path) -> Result<Arc<SqlStore>, Failure> {
    let keys = SealingKeys::load_or_create(keys(database))?;
    Ok(Arc::new(SqlStore::open(database, keys, Arc::new(SystemClock)).await?))
}

async fn seed_catalogue(database: &Path, url: &str) -> Result<(), Failure> {
    let store = open(database).await?;
    for number in 0..SERVERS {
        let server = server(number, url, "web")?;
        Registry::put(&*store, server.into(), Precondition::Absent).await?;
    }
    for (name, selection) in [("all", Selection::All), ("labels", Selection::ByLabels)] {
        let mut gateway = GatewaySpec::new(GatewayName::parse(name)?);
        gateway.selection = selection;
        gateway.labels = Labels::new([("team", "web")])?;
        Registry::put(&*store, gateway.into(), Precondition::Absent).await?;
    }
    store.close().await;
    Ok(())
}

fn server(number: usize, url: &str, label: &str) -> Result<ServerSpec, Failure> {
    let mut server = ServerSpec::remote(format!("s{number}"), format!("{url}/{number}"))?;
    server.labels = Labels::new([("team", label)])?;
    server.era = portolan::ProtocolEra::Legacy;
    Ok(server)
}

/// Puts ready installs, each of a user of its own.
async fn seed_installs(database: &Path, users: std::ops::Range<usize>) -> Result<(), Failure> {
    let store = open(database).await?;
    let mut templates = Vec::new();
    for number in 0..SERVERS {
        let now = SystemClock.now();
        let name = ServerName::parse(format!("s{number}"))?;
        let mut install = Install::new(InstallName::new(&SystemClock), name, Owner::Org, now);
        install.state = InstallState::Ready;
        let tools = definitions(number)
            .into_iter()
            .map(|tool| Ok(serde_json::from_value::<Tool>(tool)?));
        install.tools = tools.collect::<Result<Vec<_>, Failure>>()?.into();
        templates.push(install);
    }
    for user in users {
        let mut install = templates[user % SERVERS].clone();
        install.name = InstallName::new(&SystemClock);
        install.owner = Owner::Personal(user_id(user)?);
        Registry::put(&*store, install.into(), Precondition::Absent).await?;
    }
    store.close().await;
    Ok(())
}

fn user_id(number: usize) -> Result<UserId, Failure> {
    Ok(UserId::parse(format!("user-{number}@example.com"))?)
}

/// The tools of a server.
fn definitions(server: usize) -> Vec<Value> {
    let define = |tool: usize| {
        let mut tool = json!({
            "name": format!("tool_{tool}"),
            "description": format!("Tool {tool} of server {server}. "),
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
        });
        let missing = TOOL_BYTES.saturating_sub(tool.to_string().len());
        tool["description"] = format!("{}{}", tool["description"].as_str().unwrap_or(""), "x".repeat(missing)).into();
        tool
    };
    (0..TOOLS).map(define).collect()
}

/// Serves all servers, in the legacy era and without sessions.
async fn fake_server() -> Result<String, Failure> {
    async fn answer(
        axum::extract::Path(number): axum::extract::Path<usize>,
        Json(message): Json<Value>,
    ) -> impl IntoResponse {
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
            Some("tools/list") => json!({"tools": definitions(number)}),
            Some("tools/call") => json!({"content": [{"type": "text", "text": "done"}]}),
            _ => return StatusCode::ACCEPTED.into_response(),
        };
        Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
    }
    let app = Router::new().route("/{number}", routing::post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Measures a platform over a database.
async fn measure(database: &Path, url: &str, installs: usize) -> Result<Value, Failure> {
    let grant = |user: usize| -> Result<TokenGrant, Failure> {
        let subject = Subject::User(user_id(user)?);
        Ok(TokenGrant::new(
            digest(&format!("token-{user}")),
            subject,
            SystemClock.now(),
        ))
    };
    let users = [0, installs / 2, installs - 1];
    let grants = users.iter().map(|user| grant(*user)).collect::<Result<Vec<_>, _>>()?;
    let tokens = StaticTokens::from_grants(grants, Arc::new(SystemClock));

    let before = Instant::now();
    let platform = Platform::builder(database).authenticator(tokens).build().await?;
    let start_ms = millis(before.elapsed());
    // What only the start needed is freed by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let memory = resident()?;

    let mut call = Vec::new();
    let mut resolve = Vec::new();
    for user in users {
        let server = user % SERVERS;
        for _ in 0..CALLS / users.len() {
            call.push(ask(&platform, user, &format!("s{server}__tool_1"), true).await?);
        }
        for _ in 0..CALLS / users.len() {
            resolve.push(ask(&platform, user, &format!("s{server}__none"), false).await?);
        }
    }
    let (mut install, mut install_read) = (Vec::new(), Vec::new());
    let (mut label, mut label_read) = (Vec::new(), Vec::new());
    for round in 0..CHANGES {
        let owner = Owner::Personal(user_id(installs + round)?);
        let name = ServerName::parse(format!("s{}", round % SERVERS))?;
        let (read, before) = (bytes_read()?, Instant::now());
        platform.install(&name, owner).await?;
        install.push(millis(before.elapsed()));
        install_read.push(bytes_read()?.saturating_sub(read) as f64);

        let changed = server(round % SERVERS, url, if round % 2 == 0 { "data" } else { "ops" })?;
        let (read, before) = (bytes_read()?, Instant::now());
        platform.update(changed).await?;
        label.push(millis(before.elapsed()));
        label_read.push(bytes_read()?.saturating_sub(read) as f64);
    }
    let file = std::fs::metadata(database)?.len();
    Ok(json!({
        "installs": installs,
        "start_ms": start_ms,
        "memory": memory,
        "call_us": 1_000.0 * median(call),
        "resolve_us": 1_000.0 * median(resolve),
        "install_ms": median(install),
        "install_read": median(install_read),
        "label_ms": median(label),
        "label_read": median(label_read),
        "file": file,
    }))
}

/// Calls a tool as a user, in memory, and returns how long it took in milliseconds.
async fn ask(platform: &Platform, user: usize, tool: &str, exists: bool) -> Result<f64, Failure> {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": tool,
        "arguments": {"text": "x"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        },
    }});
    let request = Request::post("/all")
        .header("host", "localhost")
        .header("authorization", format!("Bearer token-{user}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool)
        .body(Full::<Bytes>::from(message.to_string()))?;
    let before = Instant::now();
    let response = platform.gateway_service().respond(request).await;
    let body = response.into_body().collect().await?.to_bytes();
    let took = millis(before.elapsed());
    let text = String::from_utf8_lossy(&body);
    if text.contains("done") != exists {
        return Err(format!("another answer than expected: {text}").into());
    }
    Ok(took)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The resident memory of this process, in bytes.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? * 1024)
}

/// The bytes that this process has read from files so far. What sockets receive does not count.
fn bytes_read() -> Result<u64, Failure> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find(|line| line.starts_with("rchar:")).ok_or("no rchar")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}
