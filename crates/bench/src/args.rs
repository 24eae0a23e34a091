//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use portolan_fixtures::http::Eras;

use crate::Result;

/// The help text.
pub(crate) const HELP: &str = "\
portolan-bench [run] [OPTIONS]      measures direct, a bare hyper proxy, and the gateway
  --gateway PATH        the gateway's binary [target/release/examples/gateway_only]
  --gateway-args TEXT   its arguments, split at spaces, then {port} {token} {name} {upstream} filled in
                        [--listen 127.0.0.1:{port} --token {token} --naming plain {name}={upstream}]
  --no-gateway          measures only direct and the proxy
  --stdio COMMAND       the stdio server to put behind the gateway [target/release/examples/process_stdio_fixture]
  --no-stdio            leaves the stdio cells out
  --seconds S           length of one measurement [2]
  --warm-up S           before each measurement [0.3]
  --repeat N            measurements per cell and system; medians are reported [3]
  --quick               32 clients only, 1 s x 3
  --quiet S             waits up to S seconds per measurement for other processes to be quiet, and repeats a
                        disturbed one in that time [0]
  --only TEXT           only cells whose name contains TEXT; several, comma-separated, are alternatives
                        names: http/legacy/32/65536/, stdio/modern/1/64/ (so 32/64/ leaves 65536 out)
  --json PATH           writes everything there, too
portolan-bench upstream    [--listen ADDR] [--era legacy|modern|both] [--core N]
portolan-bench hyper-proxy --to URL [--listen ADDR] [--core N]";

/// The length of one measurement with `--quick`.
const QUICK_WINDOW: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(Box<RunOptions>),
    Upstream(UpstreamOptions),
    HyperProxy(ProxyOptions),
}

/// The measuring run.
#[derive(Clone, Debug)]
pub(crate) struct RunOptions {
    /// Nothing measures without a gateway.
    pub(crate) gateway: Option<Gateway>,
    /// Nothing leaves the stdio cells out. The flag tells a command asked for from the default one.
    pub(crate) stdio: Option<StdioCommand>,
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) repeat: usize,
    /// How long one measurement may wait for a quiet machine.
    pub(crate) quiet: Duration,
    pub(crate) quick: bool,
    pub(crate) only: Vec<String>,
    pub(crate) json: Option<PathBuf>,
}

/// How the gateway is started.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) program: PathBuf,
    pub(crate) arguments: String,
}

/// The stdio server.
#[derive(Clone, Debug)]
pub(crate) struct StdioCommand {
    pub(crate) line: String,
    /// Named on the command line: then it must exist.
    pub(crate) asked_for: bool,
}

/// The cheap upstream.
#[derive(Debug)]
pub(crate) struct UpstreamOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) eras: Eras,
    pub(crate) core: Option<usize>,
}

/// The bare proxy.
#[derive(Debug)]
pub(crate) struct ProxyOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) to: String,
    pub(crate) core: Option<usize>,
}

impl Command {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut words = words.peekable();
        let role = words.next_if(|word| !word.starts_with('-'));
        let words = Words(words);
        match role.as_deref() {
            None | Some("run") => run(words),
            Some("upstream") => upstream(words),
            Some("hyper-proxy") => hyper_proxy(words),
            Some("help") => Ok(Self::Help),
            Some(other) => Err(format!("no command {other:?}").into()),
        }
    }
}

/// The words not read yet.
struct Words<I>(I);

impl<I: Iterator<Item = String>> Words<I> {
    fn value<T: FromStr>(&mut self, option: &str) -> Result<T> {
        let word = self.0.next().ok_or_else(|| format!("{option} needs a value"))?;
        word.parse()
            .map_err(|_| format!("{option}: cannot read {word:?}").into())
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            gateway: Some(Gateway {
                program: "target/release/examples/gateway_only".into(),
                arguments: "--listen 127.0.0.1:{port} --token {token} --naming plain {name}={upstream}".into(),
            }),
            stdio: Some(StdioCommand {
                line: "target/release/examples/process_stdio_fixture".into(),
                asked_for: false,
            }),
            window: Duration::from_secs(2),
            warm_up: Duration::from_millis(300),
            repeat: 3,
            quiet: Duration::ZERO,
            quick: false,
            only: Vec::new(),
            json: None,
        }
    }
}

fn run(mut words: Words<impl Iterator<Item = String>>) -> Result<Command> {
    let mut options = RunOptions::default();
    let mut window = None;
    while let Some(word) = words.0.next() {
        match word.as_str() {
            "--gateway" => gateway(&mut options)?.program = words.value(&word)?,
            "--gateway-args" => gateway(&mut options)?.arguments = words.value(&word)?,
            "--no-gateway" => options.gateway = None,
            "--stdio" => {
                options.stdio = Some(StdioCommand {
                    line: words.value(&word)?,
                    asked_for: true,
                })
            }
            "--no-stdio" => options.stdio = None,
            "--seconds" => window = Some(seconds(words.value(&word)?)?),
            "--warm-up" => options.warm_up = seconds(words.value(&word)?)?,
            "--repeat" => options.repeat = words.value::<usize>(&word)?.max(1),
            "--quiet" => options.quiet = seconds(words.value(&word)?)?,
            "--quick" => options.quick = true,
            "--only" => options.only = words.value::<String>(&word)?.split(',').map(str::to_owned).collect(),
            "--json" => options.json = Some(words.value(&word)?),
            "--help" | "-h" => return Ok(Command::Help),
            other => return Err(format!("no option {other:?}").into()),
        }
    }
    options.window = window.unwrap_or(if options.quick { QUICK_WINDOW } else { options.window });
    Ok(Command::Run(Box::new(options)))
}

fn gateway(options: &mut RunOptions) -> Result<&mut Gateway> {
    options
        .gateway
        .as_mut()
        .ok_or_else(|| "--no-gateway contradicts the options of the gateway".into())
}

fn seconds(value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(|problem| format!("{value} seconds: {problem}").into())
}

fn upstream(mut words: Words<impl Iterator<Item = String>>) -> Result<Command> {
    let mut role = UpstreamOptions {
        listen: any_port(),
        eras: Eras::Both,
        core: None,
    };
    while let Some(word) = words.0.next() {
        match word.as_str() {
            "--listen" => role.listen = words.value(&word)?,
            "--era" => role.eras = words.value(&word)?,
            "--core" => role.core = Some(words.value(&word)?),
            other => return Err(format!("no option {other:?}").into()),
        }
    }
    Ok(Command::Upstream(role))
}

fn hyper_proxy(mut words: Words<impl Iterator<Item = String>>) -> Result<Command> {
    let mut role = ProxyOptions {
        listen: any_port(),
        to: String::new(),
        core: None,
    };
    while let Some(word) = words.0.next() {
        match word.as_str() {
            "--listen" => role.listen = words.value(&word)?,
            "--to" => role.to = words.value(&word)?,
            "--core" => role.core = Some(words.value(&word)?),
            other => return Err(format!("no option {other:?}").into()),
        }
    }
    if role.to.is_empty() {
        return Err("hyper-proxy needs --to URL".into());
    }
    Ok(Command::HyperProxy(role))
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_words_it_is_a_full_run() {
        let Command::Run(options) = parse("").unwrap() else {
            panic!("not a run")
        };
        assert_eq!((options.window.as_secs(), options.repeat, options.quick), (2, 3, false));
    }

    #[test]
    fn quick_shortens_unless_told() {
        let Command::Run(options) = parse("run --quick").unwrap() else {
            panic!("not a run")
        };
        assert_eq!(options.window.as_secs(), 1);
        let Command::Run(options) = parse("--seconds 4 --quick").unwrap() else {
            panic!("not a run")
        };
        assert_eq!(options.window.as_secs(), 4);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse("--fast").is_err() && parse("fly").is_err() && parse("hyper-proxy").is_err());
    }
}
