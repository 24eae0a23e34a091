//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use portolan_fixtures::http::Eras;

/// The stdio server of the default run. Without it, the stdio cells are left out.
const DEFAULT_STDIO: &str = "target/release/examples/process_stdio_fixture";

/// The length of one measurement, and that with `--quick`.
const WINDOW: Duration = Duration::from_secs(2);
const QUICK_WINDOW: Duration = Duration::from_secs(1);

/// The address of a role that is started without `--listen`: any free port.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Measures the gateway, a bare hyper proxy, and no proxy at all, in one run.
#[derive(Debug, Parser)]
#[command(name = "portolan-bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    run: RunOptions,
}

/// What this process does.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Measures and prints a table (the default).
    Run(Box<RunOptions>),
    /// Serves the upstream that is measured.
    Upstream(UpstreamOptions),
    /// Serves the bare proxy that the gateway is compared with.
    HyperProxy(ProxyOptions),
}

impl Cli {
    pub(crate) fn role(self) -> Role {
        self.role.unwrap_or_else(|| Role::Run(Box::new(self.run)))
    }
}

/// The options of a measuring run.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunOptions {
    /// The gateway's program
    #[arg(long, value_name = "PATH", default_value = "target/release/examples/gateway_only")]
    gateway: PathBuf,
    /// The gateway's arguments: split at spaces, then {port}, {token}, {name} and {upstream} are filled in
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        default_value = "--listen 127.0.0.1:{port} --token {token} --naming plain {name}={upstream}"
    )]
    gateway_args: String,
    /// Leaves the gateway out
    #[arg(long, conflicts_with_all = ["gateway", "gateway_args"])]
    no_gateway: bool,
    /// The stdio server that the gateway runs [default: target/release/examples/process_stdio_fixture, if it exists]
    #[arg(long, value_name = "COMMAND")]
    stdio: Option<String>,
    /// Leaves the stdio cells out
    #[arg(long, conflicts_with = "stdio")]
    no_stdio: bool,
    /// The length of one measurement [default: 2, with --quick 1]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// The load before each measurement
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0.3")]
    pub(crate) warm_up: Duration,
    /// Measurements of each cell and system; the table shows their medians
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// Measures with 32 clients only
    #[arg(long)]
    pub(crate) quick: bool,
    /// How long a measurement may wait for other processes to be idle; it is repeated while they disturb it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    pub(crate) quiet: Duration,
    /// Only cells whose name contains one of these texts; names are http/legacy/32/65536/, stdio/modern/1/64/, ...
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Also writes all figures to this file
    #[arg(long, value_name = "PATH")]
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
    /// Whether the command line names it: then it must exist.
    pub(crate) is_required: bool,
}

impl RunOptions {
    /// The gateway, unless it is left out.
    pub(crate) fn gateway(&self) -> Option<Gateway> {
        (!self.no_gateway).then(|| Gateway {
            program: self.gateway.clone(),
            arguments: self.gateway_args.clone(),
        })
    }

    /// The stdio server, unless the stdio cells are left out.
    pub(crate) fn stdio(&self) -> Option<StdioCommand> {
        (!self.no_stdio).then(|| StdioCommand {
            line: self.stdio.clone().unwrap_or_else(|| DEFAULT_STDIO.to_owned()),
            is_required: self.stdio.is_some(),
        })
    }

    /// The length of one measurement.
    pub(crate) fn window(&self) -> Duration {
        self.seconds.unwrap_or(if self.quick { QUICK_WINDOW } else { WINDOW })
    }
}

/// The options of the upstream.
#[derive(Args, Debug)]
pub(crate) struct UpstreamOptions {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = ANY_PORT)]
    pub(crate) listen: SocketAddr,
    /// The protocol eras to serve: legacy, modern or both
    #[arg(long, value_name = "ERA", default_value = "both")]
    pub(crate) era: Eras,
    /// The core to run on
    #[arg(long)]
    pub(crate) core: Option<usize>,
}

/// The options of the bare proxy.
#[derive(Args, Debug)]
pub(crate) struct ProxyOptions {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = ANY_PORT)]
    pub(crate) listen: SocketAddr,
    /// The URL to forward to
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The core to run on
    #[arg(long)]
    pub(crate) core: Option<usize>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Role, clap::Error> {
        let words = std::iter::once("portolan-bench").chain(line.split_whitespace());
        Ok(Cli::try_parse_from(words)?.role())
    }

    fn run(line: &str) -> RunOptions {
        match parse(line).unwrap() {
            Role::Run(options) => *options,
            other => panic!("not a run: {other:?}"),
        }
    }

    #[test]
    fn defaults_to_a_full_run() {
        let options = run("");
        assert_eq!(
            (options.window().as_secs(), options.repeat, options.quick),
            (2, 3, false)
        );
        assert!(options.gateway().is_some() && !options.stdio().unwrap().is_required);
    }

    #[test]
    fn quick_shortens_the_window() {
        assert_eq!(run("run --quick").window().as_secs(), 1);
        assert_eq!(run("--seconds 4 --quick").window().as_secs(), 4);
    }

    #[test]
    fn unknown_arguments_are_errors() {
        for line in [
            "--fast",
            "fly",
            "hyper-proxy",
            "--no-stdio --stdio x",
            "--repeat 0",
            "--quiet -1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
