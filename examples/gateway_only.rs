//! Only the gateway, in front of servers that run elsewhere. No registry, no database.
//!
//! ```text
//! cargo run --example gateway_only -- --listen 127.0.0.1:8080 --token SECRET \
//!     everything=http://127.0.0.1:3001/mcp  time=stdio:uvx mcp-server-time
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

use std::process::ExitCode;

use portolan::{
    GatewayConfig, Hosts, McpGateway, Naming, ResourceNaming, ServerRequestPolicy, StaticTokens, Upstream, digest,
    serve_until, stop_signal,
};

const USAGE: &str = "usage: gateway_only [--listen ADDRESS] --token TOKEN [--naming prefix|plain] [--uris plain|prefix] [--any-host] \
                     [--asks-all] [--page ITEMS] NAME=URL... [NAME=stdio:PROGRAM ARGUMENT...]";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("warn")
        .with_writer(std::io::stderr)
        .init();
    // On one core, one thread: a scheduler for several only adds to the cost of each call.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runtime = match cores {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let done = match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(fault) => Err(fault.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::read()?;
    let mut gateway = McpGateway::builder()
        .naming(options.naming)
        .resource_naming(options.uris)
        .config(options.config)
        .authenticator(StaticTokens::from_users([("local", digest(&options.token))])?);
    for (name, upstream) in options.upstreams {
        gateway = gateway.upstream(name, upstream.server_requests(options.server_requests));
    }
    let gateway = gateway.build()?;
    let stop = stop_signal();
    let listener = tokio::net::TcpListener::bind(&options.listen).await?;
    println!("listening on http://{}/mcp/default", listener.local_addr()?);
    // Calls in progress may finish, and servers end in order; a second signal cuts that short.
    serve_until(listener, gateway, stop, async { stop_signal().await }).await?;
    Ok(())
}

struct Options {
    listen: String,
    token: String,
    naming: Naming,
    uris: ResourceNaming,
    config: GatewayConfig,
    /// What servers may ask clients.
    server_requests: ServerRequestPolicy,
    upstreams: Vec<(String, Upstream)>,
}

impl Options {
    fn read() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::{Long, Value, ValueExt};

        let mut options = Self {
            listen: "127.0.0.1:8080".into(),
            token: String::new(),
            naming: Naming::Prefix,
            uris: ResourceNaming::Plain,
            config: GatewayConfig::default(),
            server_requests: ServerRequestPolicy::default(),
            upstreams: Vec::new(),
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("listen") => options.listen = args.value()?.string()?,
                Long("token") => options.token = args.value()?.string()?,
                Long("naming") => {
                    options.naming = args.value()?.parse_with(|naming| match naming {
                        "prefix" => Ok(Naming::Prefix),
                        "plain" => Ok(Naming::Plain),
                        _ => Err("is neither prefix nor plain"),
                    })?;
                }
                Long("uris") => {
                    options.uris = args.value()?.parse_with(|uris| match uris {
                        "plain" => Ok(ResourceNaming::Plain),
                        "prefix" => Ok(ResourceNaming::Prefix),
                        _ => Err("is neither plain nor prefix"),
                    })?;
                }
                Long("any-host") => options.config.hosts = Hosts::Any,
                Long("asks-all") => options.server_requests = ServerRequestPolicy::ALL,
                Long("page") => options.config.limits.page = args.value()?.parse()?,
                Value(server) => {
                    let server = server.string()?;
                    let (name, place) = server
                        .split_once('=')
                        .ok_or_else(|| format!("{server:?} is neither an option nor NAME=URL"))?;
                    let upstream = match place.strip_prefix("stdio:") {
                        Some(program) => Upstream::command(program, rest(&mut args)?),
                        None => Upstream::http(place),
                    };
                    options.upstreams.push((name.into(), upstream));
                }
                other => return Err(other.unexpected()),
            }
        }
        if options.token.is_empty() {
            return Err("a token is needed: --token TOKEN".into());
        }
        if options.upstreams.is_empty() {
            return Err("name at least one server".into());
        }
        Ok(options)
    }
}

/// The rest of the line, which is a program's own.
fn rest(args: &mut lexopt::Parser) -> Result<Vec<String>, lexopt::Error> {
    args.raw_args()?.map(lexopt::prelude::ValueExt::string).collect()
}
