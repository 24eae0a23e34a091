//! The real clients: each connects, does what its script says, and says what it got.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::server::Target;
use crate::{parts, rust_client};

const LIMIT: Duration = Duration::from_secs(90);

/// A real client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// The era that a client is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    Legacy,
    Modern,
    /// Whatever the client makes of the server.
    Auto,
}

/// The results of a client.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) tools: Vec<Value>,
    /// One per call: `{ "result" | "error", "progress", "logs", "asked" }`.
    pub(crate) results: Vec<Value>,
}

impl Client {
    /// The most that this client can do by itself.
    pub(crate) fn best_era(self) -> Era {
        if self == Self::Sdk1 { Era::Legacy } else { Era::Auto }
    }

    /// Lists all tools and makes these calls.
    pub(crate) async fn run(self, era: Era, target: &Target, calls: &Value) -> Result<Document> {
        let mut operations = vec![json!({ "do": "list", "what": "tools" })];
        for call in calls.as_array().context("the calls are no list")? {
            let mut call = call.clone();
            call["do"] = "call".into();
            operations.push(call);
        }
        let outcomes = self.play(era, target, &json!({ "operations": operations })).await?;
        Document::read(outcomes)
    }

    /// Does what a script says (`clients/run.mjs` has what one looks like); the outcomes of its operations.
    pub(crate) async fn play(self, era: Era, target: &Target, script: &Value) -> Result<Vec<Value>> {
        let work = async {
            match self {
                Self::Rmcp => rust_client::play(era, target, script).await,
                _ => self.start(era, target, script).await?.outcomes().await,
            }
        };
        tokio::time::timeout(LIMIT, work)
            .await
            .map_err(|_| anyhow::anyhow!("no end after {LIMIT:?}"))
            .flatten()
            .with_context(|| format!("{self:?}, {era:?}, on {target:?}"))
    }

    /// Starts the process of a client that is one.
    pub(crate) async fn start(self, era: Era, target: &Target, script: &Value) -> Result<Playing> {
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
        stdin.write_all(&serde_json::to_vec(script)?).await?;
        drop(stdin);
        Ok(Playing(child))
    }
}

/// A client at work in a process of its own, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Playing(Child);

impl Playing {
    pub(crate) async fn outcomes(self) -> Result<Vec<Value>> {
        let output = self.0.wait_with_output().await?;
        ensure!(
            output.status.success(),
            "{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let mut document: Value = serde_json::from_slice(&output.stdout)?;
        Ok(serde_json::from_value(document["outcomes"].take())?)
    }
}

impl Document {
    fn read(mut outcomes: Vec<Value>) -> Result<Self> {
        ensure!(!outcomes.is_empty(), "the tools were not listed");
        let mut tools = outcomes.remove(0);
        match tools["result"].take() {
            Value::Array(tools) => Ok(Self {
                tools,
                results: outcomes,
            }),
            _ => bail!("the tools cannot be listed: {tools}"),
        }
    }

    pub(crate) fn tool_names(&self) -> Vec<&str> {
        self.tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
    }
}
