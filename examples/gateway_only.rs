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
    serve,
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
    let options = Options::read(std::env::args().skip(1))?;
    let mut gateway = McpGateway::builder()
        .naming(options.naming)
        .uris(options.uris)
        .config(options.config)
        .authenticator(StaticTokens::from_users([("local", digest(&options.token))])?);
    for (name, upstream) in options.upstreams {
        gateway = gateway.upstream(name, upstream.server_requests(options.server_requests));
    }
    let gateway = gateway.build()?;
    let listener = tokio::net::TcpListener::bind(&options.listen).await?;
    println!("listening on http://{}/mcp/default", listener.local_addr()?);
    serve(listener, gateway, async { drop(tokio::signal::ctrl_c().await) }).await?;
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
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: "127.0.0.1:8080".into(),
            token: String::new(),
            naming: Naming::Prefix,
            uris: ResourceNaming::Plain,
            config: GatewayConfig::default(),
            server_requests: ServerRequestPolicy::default(),
            upstreams: Vec::new(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--listen" => options.listen = value()?,
                "--token" => options.token = value()?,
                "--naming" if value()? == "plain" => options.naming = Naming::Plain,
                "--naming" => {}
                "--uris" if value()? == "prefix" => options.uris = ResourceNaming::Prefix,
                "--uris" => {}
                "--any-host" => options.config.hosts = Hosts::Any,
                "--asks-all" => options.server_requests = ServerRequestPolicy::ALL,
                "--page" => options.config.limits.page = value()?.parse().map_err(|_| "--page needs a number")?,
                _ => match arg.split_once('=') {
                    Some((name, place)) if place.starts_with("stdio:") => {
                        // The rest of the line is the program's own.
                        let upstream = Upstream::command(&place["stdio:".len()..], args.by_ref());
                        options.upstreams.push((name.into(), upstream));
                    }
                    Some((name, url)) => options.upstreams.push((name.into(), Upstream::http(url))),
                    None => return Err(format!("{arg:?} is neither an option nor NAME=URL")),
                },
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
