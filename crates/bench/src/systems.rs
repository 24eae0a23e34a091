//! The processes of a run: the upstream, and what stands before it.

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

/// The token every request carries. Only the gateway looks at it.
const TOKEN: &str = "bench-token-0123456789abcdef0123456789abcdef";

/// How long a started system may take until it answers a call.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a measurement is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Name {
    /// The load straight onto the upstream.
    Direct,
    /// The bare proxy between them.
    Hyper,
    /// The gateway between them.
    Gateway,
}

/// One of the systems under load.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: Name,
    pub(crate) target: Target,
    pub(crate) child: Child,
    pub(crate) start: Start,
}

/// What a system needed before any load.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) system: Name,
    /// From the start of the process to the answer to the first call.
    pub(crate) first_call_ms: f64,
    /// Memory held when it listened.
    pub(crate) idle_kib: u64,
    /// Memory held after one call per era.
    pub(crate) after_first_call_kib: u64,
}

impl System {
    /// Starts a system and waits until it answers.
    pub(crate) async fn start(name: Name, command: Command, core: usize, cores: Cores) -> Result<Self> {
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

/// Tries until a call is answered: a gateway may have to meet its upstream first.
async fn first_call(target: &Target, era: Era) -> Result<()> {
    let start = Instant::now();
    loop {
        let problem = match tokio::time::timeout(PATIENCE, load::one_call(target, era)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => "no answer".into(),
        };
        if start.elapsed() > PATIENCE {
            return Err(format!("{} answers no {era:?} call: {problem}", target.address).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The upstream's command.
pub(crate) fn upstream() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("upstream");
    Ok(command)
}

/// The bare proxy's command.
pub(crate) fn proxy(to: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["hyper-proxy", "--to", to]);
    Ok(command)
}

/// The gateway's command, for one upstream: a URL, or `stdio:PROGRAM ARG...`.
pub(crate) fn gateway(gateway: &Gateway, upstream: &str) -> Result<Command> {
    // Free now; nothing else on this machine is likely to take it in the meantime.
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

/// Starts the peak of a system's memory anew.
pub(crate) fn reset_peak(child: &Child) -> Result<()> {
    usage::reset_peak(child.id()?);
    Ok(())
}
