//! The systems of a run: the upstream, the proxy and the gateway.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::process::Command;

use crate::args::Gateway;
use crate::cell::Era;
use crate::child::Child;
use crate::load::{self, Target};
use crate::pin::Cores;
use crate::{Result, usage};

/// The bearer token of every request. Only the gateway checks it.
const TOKEN: &str = "bench-token-0123456789abcdef0123456789abcdef";

/// The time that a started system has for its first response.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The systems that are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SystemName {
    /// The upstream alone.
    Direct,
    /// The bare proxy before the upstream.
    Hyper,
    /// The gateway before the upstream.
    Gateway,
}

/// A running system.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: SystemName,
    pub(crate) target: Target,
    pub(crate) child: Child,
    pub(crate) start: Start,
}

/// Start-up time and memory of a system without load.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) system: SystemName,
    /// From the start of the process to the first response.
    pub(crate) first_call_ms: f64,
    /// Resident memory when it started to listen.
    pub(crate) idle_kib: u64,
    /// Resident memory after one call per era.
    pub(crate) after_first_call_kib: u64,
}

impl System {
    /// Starts a system and waits for its first response.
    pub(crate) async fn start(name: SystemName, command: Command, core: usize, cores: Cores) -> Result<Self> {
        let child = Child::start(command, core, cores).await?;
        let target = Target::parse(&child.url, TOKEN)?;
        let idle_kib = child.memory_now()?;
        first_call(&target, Era::Legacy).await?;
        let first_call_ms = child.started.elapsed().as_secs_f64() * 1e3;
        first_call(&target, Era::Modern).await?;
        let after_first_call_kib = child.memory_now()?;
        let start = Start {
            system: name,
            first_call_ms,
            idle_kib,
            after_first_call_kib,
        };
        Ok(Self {
            name,
            target,
            child,
            start,
        })
    }
}

/// Retries until a call succeeds: a gateway may still be connecting to its upstream.
async fn first_call(target: &Target, era: Era) -> Result<()> {
    let start = Instant::now();
    loop {
        let problem = match tokio::time::timeout(START_TIMEOUT, load::one_call(target, era)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => "no response".into(),
        };
        if start.elapsed() > START_TIMEOUT {
            return Err(format!("{} answers no {era:?} call: {problem}", target.address).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the command that starts the upstream.
pub(crate) fn upstream() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("upstream");
    Ok(command)
}

/// Returns the command that starts the bare proxy.
pub(crate) fn proxy(to: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["hyper-proxy", "--to", to]);
    Ok(command)
}

/// Returns the command that starts the gateway before one upstream: a URL, or `stdio:PROGRAM ARG...`.
pub(crate) fn gateway(gateway: &Gateway, upstream: &str) -> Result<Command> {
    // Another process could take the port before the gateway does, which is unlikely.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let filled = |word: &str| {
        word.replace("{port}", &port)
            .replace("{token}", TOKEN)
            .replace("{name}", "bench")
            .replace("{upstream}", upstream)
    };
    let mut command = Command::new(&gateway.program);
    command.args(gateway.arguments.split_whitespace().map(filled));
    Ok(command)
}

/// Resets the memory peak of a system.
pub(crate) fn reset_peak(child: &Child) -> Result<()> {
    usage::reset_peak(child.id()?);
    Ok(())
}
