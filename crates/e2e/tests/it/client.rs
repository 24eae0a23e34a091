//! The real clients: each connects, lists all tools, makes the calls it is given, and says what it got.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::server::Target;
use crate::{parts, rust_client};

const LIMIT: Duration = Duration::from_secs(90);

/// A real client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// `rmcp`, in this process.
    Rmcp,
    /// The official TypeScript SDK, version 1. It knows no modern era.
    Sdk1,
    /// The official TypeScript client, version 2.
    Client2,
    /// The official Python SDK, version 2.
    Mcp2,
}

/// How a client is told to settle the era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
    /// Whatever the client makes of the server.
    Auto,
}

/// What a client saw.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) tools: Vec<Value>,
    /// One per call: `{ "result" | "error", "progress": [...] }`.
    pub(crate) results: Vec<Value>,
}

impl Client {
    /// The most that this client can do by itself.
    pub(crate) fn best_era(self) -> Era {
        if self == Self::Sdk1 { Era::Legacy } else { Era::Auto }
    }

    pub(crate) async fn run(self, era: Era, target: &Target, calls: &Value) -> Result<Document> {
        let work = async {
            match self {
                Self::Rmcp => rust_client::run(era, target, calls).await,
                _ => self.run_script(era, target, calls).await,
            }
        };
        tokio::time::timeout(LIMIT, work)
            .await
            .map_err(|_| anyhow::anyhow!("no end after {LIMIT:?}"))
            .flatten()
            .with_context(|| format!("{self:?}, {era:?}, on {target:?}"))
    }

    async fn run_script(self, era: Era, target: &Target, calls: &Value) -> Result<Document> {
        let mut words = match self {
            Self::Sdk1 => parts::node(&parts::client_script("sdk1.mjs"))?,
            Self::Client2 => parts::node(&parts::client_script("client2.mjs"))?,
            Self::Mcp2 => vec![parts::python()?, parts::text(&parts::client_script("mcp2.py"))?],
            Self::Rmcp => bail!("this client is no script"),
        };
        words.push(format!("{era:?}").to_lowercase());
        match target {
            Target::Http { url, token } => words.extend(["http".to_owned(), url.clone(), token.clone()]),
            Target::Stdio(command) => words.extend(std::iter::once("stdio".to_owned()).chain(command.iter().cloned())),
        }
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env("PORTOLAN_PARTS", parts::folder()?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {words:?}"))?;
        let mut stdin = child.stdin.take().context("no input to write to")?;
        stdin.write_all(&serde_json::to_vec(calls)?).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        ensure!(
            output.status.success(),
            "{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Document::read(serde_json::from_slice(&output.stdout)?)
    }
}

impl Document {
    fn read(mut document: Value) -> Result<Self> {
        let mut list = |key: &str| match document[key].take() {
            Value::Array(list) => Ok(list),
            other => bail!("{key} is {other}, not a list"),
        };
        Ok(Self {
            tools: list("tools")?,
            results: list("results")?,
        })
    }

    pub(crate) fn tool_names(&self) -> Vec<&str> {
        self.tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
    }
}
