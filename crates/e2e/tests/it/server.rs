//! The real servers, each with the calls that show what it does.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::parts;

/// A real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    EverythingStdio,
    EverythingHttp,
    Filesystem,
    Memory,
    Time,
    Git,
}

/// Where a server can be reached.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Http { url: String, token: String },
    Stdio(Vec<String>),
}

/// A server made ready to be connected to. What it holds ends with it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) calls: Value,
    _process: Option<Child>,
}

impl Server {
    /// Prepares the server with fresh state of its own, below `folder`.
    ///
    /// What the calls read lies at the same place in every run of the same folder, so that results can be compared.
    pub(crate) async fn prepare(self, folder: &Path, run: &str) -> Result<Prepared> {
        let mut process = None;
        let (target, calls) = match self {
            Self::EverythingStdio => (Target::Stdio(everything("stdio")?), everything_calls()),
            Self::EverythingHttp => {
                let (child, url) = everything_over_http().await?;
                process = Some(child);
                (
                    Target::Http {
                        url,
                        token: String::new(),
                    },
                    everything_calls(),
                )
            }
            Self::Filesystem => filesystem(folder)?,
            Self::Memory => memory(&folder.join(format!("{run}.jsonl")))?,
            Self::Time => time()?,
            Self::Git => git(folder).await?,
        };
        Ok(Prepared {
            target,
            calls,
            _process: process,
        })
    }
}

pub(crate) fn everything(mode: &str) -> Result<Vec<String>> {
    let mut command = parts::node(&parts::npm_script("@modelcontextprotocol/server-everything")?)?;
    command.push(mode.to_owned());
    Ok(command)
}

fn everything_calls() -> Value {
    json!([
        { "name": "echo", "arguments": { "message": "Grüße, 世界 \u{1F30D}" } },
        { "name": "get-sum", "arguments": { "a": 2.5, "b": 40 } },
        { "name": "get-sum", "arguments": { "a": "two" } },
        { "name": "get-tiny-image", "arguments": {} },
        { "name": "get-structured-content", "arguments": { "location": "Chicago" } },
        { "name": "get-annotated-message", "arguments": { "messageType": "error", "includeImage": true } },
        { "name": "get-resource-links", "arguments": { "count": 3 } },
        { "name": "gzip-file-as-resource", "arguments": {
            "name": "hi.gz", "data": "data:text/plain;base64,aGVsbG8=", "outputType": "resource"
        } },
    ])
}

/// Starts the server on a free port and waits until it answers there.
pub(crate) async fn everything_over_http() -> Result<(Child, String)> {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let words = everything("streamableHttp")?;
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {words:?}"))?;
    for _ in 0..300 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok((child, format!("http://127.0.0.1:{port}/mcp")));
        }
        ensure!(child.try_wait()?.is_none(), "the server over HTTP ended at once");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the server over HTTP does not listen")
}

fn filesystem(folder: &Path) -> Result<(Target, Value)> {
    let folder = folder.canonicalize()?;
    let files = folder.join("files");
    fs::create_dir_all(files.join("sub"))?;
    fs::write(files.join("a.txt"), "one\ntwo\nthree\n")?;
    fs::write(files.join("sub/b.txt"), "be\u{2028}e\n")?;
    fs::write(files.join("c.txt"), "")?;
    let mut command = parts::node(&parts::npm_script("@modelcontextprotocol/server-filesystem")?)?;
    command.push(parts::text(&files)?);
    let calls = json!([
        { "name": "list_allowed_directories", "arguments": {} },
        { "name": "list_directory", "arguments": { "path": files } },
        { "name": "directory_tree", "arguments": { "path": files } },
        { "name": "read_text_file", "arguments": { "path": files.join("a.txt"), "head": 2 } },
        { "name": "read_multiple_files", "arguments": { "paths": [files.join("a.txt"), files.join("sub/b.txt")] } },
        { "name": "write_file", "arguments": { "path": files.join("c.txt"), "content": "sea" } },
        { "name": "read_text_file", "arguments": { "path": files.join("absent.txt") } },
        { "name": "read_text_file", "arguments": { "path": "/outside.txt" } },
    ]);
    Ok((Target::Stdio(command), calls))
}

fn memory(file: &Path) -> Result<(Target, Value)> {
    let mut command = vec!["env".to_owned(), format!("MEMORY_FILE_PATH={}", parts::text(file)?)];
    command.extend(parts::node(&parts::npm_script("@modelcontextprotocol/server-memory")?)?);
    let calls = json!([
        { "name": "create_entities", "arguments": { "entities": [
            { "name": "Ada", "entityType": "person", "observations": ["writes notes"] },
            { "name": "Engine", "entityType": "machine", "observations": [] },
        ] } },
        { "name": "create_relations", "arguments": { "relations": [
            { "from": "Ada", "to": "Engine", "relationType": "describes" },
        ] } },
        { "name": "read_graph", "arguments": {} },
        { "name": "search_nodes", "arguments": { "query": "Ada" } },
        { "name": "open_nodes", "arguments": { "names": ["Nobody"] } },
    ]);
    Ok((Target::Stdio(command), calls))
}

/// Only conversions: what time it is differs from one call to the next. A conversion names no day, but its
/// result does; both runs of a test meet the same day unless it is midnight.
fn time() -> Result<(Target, Value)> {
    let words = ["-m", "mcp_server_time", "--local-timezone", "Etc/UTC"].map(str::to_owned);
    let command = std::iter::once(parts::python()?).chain(words).collect();
    let convert =
        |from: &str, time: &str| json!({ "source_timezone": from, "time": time, "target_timezone": "Asia/Tokyo" });
    let calls = json!([
        { "name": "convert_time", "arguments": convert("Etc/UTC", "12:30") },
        { "name": "convert_time", "arguments": convert("Atlantis/Sunken", "12:30") },
        { "name": "convert_time", "arguments": convert("Etc/UTC", "half past") },
        { "name": "convert_time", "arguments": {} },
    ]);
    Ok((Target::Stdio(command), calls))
}

async fn git(folder: &Path) -> Result<(Target, Value)> {
    let repository = folder.canonicalize()?.join("repository");
    if !repository.exists() {
        fs::create_dir(&repository)?;
        git_command(&repository, &["init", "--quiet", "--initial-branch=main"]).await?;
        fs::write(repository.join("chart.txt"), "here be dragons\n")?;
        git_command(&repository, &["add", "."]).await?;
        git_command(&repository, &["commit", "--quiet", "--message=Draw the first chart"]).await?;
        fs::write(repository.join("chart.txt"), "here be harbours\n")?;
    }
    let path = parts::text(&repository)?;
    let words = ["-m", "mcp_server_git", "--repository", &path].map(str::to_owned);
    let command = std::iter::once(parts::python()?).chain(words).collect();
    let calls = json!([
        { "name": "git_status", "arguments": { "repo_path": path } },
        { "name": "git_diff_unstaged", "arguments": { "repo_path": path } },
        { "name": "git_log", "arguments": { "repo_path": path, "max_count": 5 } },
        { "name": "git_show", "arguments": { "repo_path": path, "revision": "HEAD" } },
        { "name": "git_show", "arguments": { "repo_path": path, "revision": "no-such-revision" } },
    ]);
    Ok((Target::Stdio(command), calls))
}

async fn git_command(repository: &Path, args: &[&str]) -> Result<()> {
    let status = Command::new("git")
        .current_dir(repository)
        .args([
            "-c",
            "user.name=Tester",
            "-c",
            "user.email=tester@example.org",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status()
        .await
        .context("cannot run git")?;
    ensure!(status.success(), "git {args:?}: {status}");
    Ok(())
}
