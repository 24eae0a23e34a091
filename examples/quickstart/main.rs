//! Everything on one machine: registers a server, installs and starts it, discovers its tools, and serves them at one
//! endpoint, which it then calls itself once.
//!
//! ```text
//! cargo run --example quickstart                                             the demo server that comes with it
//! cargo run --example quickstart -- npx -y @modelcontextprotocol/server-everything
//! cargo run --example quickstart -- --url https://example.com/mcp
//! cargo run --example quickstart -- --once                                   ends after the call
//! ```

#![expect(clippy::print_stderr, reason = "an example talks to people")]

mod client;
mod demo;
mod options;
mod progress;

use std::{process::ExitCode, time::Duration};

use portolan::{Error, InstallRequest, Owner, Platform, Result, ServerName, core::RegistryExt};

use crate::{client::Client, options::Options, progress::Line};

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    // The demo server is this same program, so that nothing has to be installed for it.
    if options.be_demo_server {
        return demo::serve();
    }
    tracing_subscriber::fmt()
        .with_env_filter("error")
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(fault) => {
            eprintln!("no runtime: {fault}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::explain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(&options.listen).await.map_err(|fault| {
        Error::invalid(
            "--listen",
            format!(
                "cannot listen on {}: {fault}; choose another with --listen",
                options.listen
            ),
        )
    })?;
    let address = listener
        .local_addr()
        .map_or_else(|_| options.listen.clone(), |address| address.to_string());

    let mut line = Line::begin(format!("opening {}", options.database.display()));
    let platform = Platform::local(&options.database).await?;
    let (servers, installs) = (
        platform.registry().servers().await?.len(),
        platform.registry().installs().await?.len(),
    );
    line.done(match installs {
        0 => "new".into(),
        _ => format!("found {servers} server(s) and {installs} install(s) of an earlier run"),
    });

    let spec = options.server_spec()?;
    line = Line::begin(format!("registering {}", options.describe()));
    let server = platform.add(spec).await?;
    line.done(format!("server {:?}", server.as_str()));

    line = Line::begin("installing it".into());
    let request = InstallRequest::new(server, Owner::Org);
    let install = platform
        .install_with_progress(request, &mut |step| line.step(&step.to_string()))
        .await?;
    let tools: Vec<_> = install.tools.iter().map(|tool| tool.name().as_str()).collect();
    line.done(format!(
        "{} tools: {}",
        tools.len(),
        progress::shorten(&tools.join(", "), 70)
    ));

    line = Line::begin("publishing it".into());
    let gateway = platform.gateway("default").serve_all_of(&install).await?;
    let token = platform.rotate_token(&gateway, Owner::Org, "quickstart").await?;
    line.done(format!("gateway {:?}", gateway.as_str()));

    let url = format!("http://{address}/mcp/{gateway}");
    let (end, ended) = tokio::sync::oneshot::channel();
    let serving = portolan::serve(listener, platform.gateway_service().at_path("/mcp"), async move {
        tokio::select! {
            () = portolan::stop_signal() => {}
            _ = ended => {}
        }
    });
    let calling = async {
        let called = call_once(&url, token.reveal(), &install.server, options).await;
        if called.is_ok() {
            progress::introduce(&url, token.reveal());
        }
        if options.once || called.is_err() {
            let _ = end.send(());
            return (called, None);
        }
        progress::say("\nserving until Ctrl-C");
        (called, Some(end))
    };
    let (served, (called, _until_then)) = tokio::join!(serving, calling);
    platform.shutdown(Duration::from_secs(5)).await?;
    called?;
    served.map_err(|fault| Error::unavailable("the listener", fault))
}

/// One real call through our own endpoint, as any MCP client would make it.
async fn call_once(url: &str, token: &str, server: &ServerName, options: &Options) -> Result<()> {
    let mut line = Line::begin(format!("calling it at {url}"));
    let mut client = Client::connect(url, token).await?;
    let tools = client.tools().await?;
    let Some((tool, arguments)) = options.choose(server, &tools) else {
        line.done("it has no tool that can be called without arguments, so none was called".into());
        return Ok(());
    };
    line.step(&tool);
    let answer = client.call(&tool, &arguments).await?;
    line.done(format!("{tool} {arguments} answers"));
    progress::say(&format!("  {}", progress::shorten(&answer, 400)));
    Ok(())
}
