//! The platform on Kubernetes: installs a server in the cluster that your kubeconfig leads to, serves its tools at one
//! endpoint on this machine, and calls that endpoint once. It needs no image registry of its own, no ingress and no
//! access to the cluster's network: servers are reached through the API server.
//!
//! ```text
//! kind create cluster && kubectl create namespace mcp-servers
//! cargo run --example kubernetes --features k8s-latest                       the image mcp/time
//! cargo run --example kubernetes --features k8s-latest -- --image me/server:1 [-- PROGRAM ARGS...]
//! cargo run --example kubernetes --features k8s-latest -- --remove           removes what it installed
//! ```

#![expect(clippy::print_stderr, reason = "an example talks to people")]

#[path = "../quickstart/client.rs"]
mod client;
mod options;
#[path = "../quickstart/progress.rs"]
mod progress;

use std::{process::ExitCode, sync::Arc};

use portolan::{
    Components, Connect, Error, InstallRequest, KubeConfig, KubeRuntime, Owner, Platform, Result, SealingKeys,
    ServerSpec, Settings, SqlStore, StaticTokens,
    core::{RegistryExt, SystemClock},
    kubernetes::BridgeSource,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{client::Client, options::Options, progress::Line};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::explain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let mut line = Line::begin("connecting to the cluster".into());
    let platform = platform(&options).await?;
    line.done(format!("namespace {:?}", options.namespace));
    if options.remove {
        return remove(&platform).await;
    }

    let server = platform.add(options.server()?).await?;
    let mut line = Line::begin(format!("installing {:?}", server.as_str()));
    let request = InstallRequest::new(server, Owner::Org);
    let install = platform
        .install_with_progress(request, &mut |step| line.step(&step.to_string()))
        .await?;
    line.done(format!("{} tools", install.tools.len()));

    let gateway = platform.gateway("default").serve_all_of(&install).await?;
    let token = platform.rotate_token(&gateway, Owner::Org, "example").await?;
    let url = format!("http://{}/mcp/{gateway}", options.listen);
    let listener = TcpListener::bind(&options.listen).await.map_err(|fault| {
        let problem = format!("cannot listen on {}: {fault}; choose another", options.listen);
        Error::invalid("--listen", problem)
    })?;
    let serving = portolan::serve(
        listener,
        platform.gateway_service().at_path("/mcp"),
        portolan::stop_signal(),
    );
    let calling = async {
        let mut line = Line::begin(format!("calling it at {url}"));
        let mut client = Client::connect(&url, token.reveal()).await?;
        let answer = match &options.call {
            Some((tool, arguments)) => client.call(tool, arguments).await?,
            None => json!(client.tools().await?).to_string(),
        };
        line.done(progress::shorten(&answer, 200));
        progress::introduce(&url, token.reveal());
        Ok::<_, Error>(())
    };
    tokio::select! {
        served = serving => served.map_err(|fault| Error::unavailable("the listener", fault)),
        called = async {
            calling.await?;
            if !options.once {
                progress::say("\nserving until Ctrl-C; the server goes on running in the cluster");
                std::future::pending::<()>().await;
            }
            Ok(())
        } => called,
    }
}

/// What differs from a platform on one machine is the runtime.
async fn platform(options: &Options) -> Result<Platform> {
    let clock = Arc::new(SystemClock);
    let keys = SealingKeys::load_or_create(format!("{}.keys", options.database))?;
    let store = Arc::new(SqlStore::open(&options.database, keys, clock.clone()).await?);
    let mut config = KubeConfig::in_namespace(&options.namespace);
    if let Some(image) = &options.base_image {
        config = config.with_base_image(image);
    }
    if let Some(image) = &options.bridge_image {
        config = config.with_bridge(BridgeSource::Image(image.clone()));
    }
    let runtime = KubeRuntime::connect(Connect::Infer, config, store.clone()).await?;
    Platform::new(Components {
        registry: store.clone(),
        credentials: store.clone(),
        sessions: store.clone(),
        runtime: Arc::new(runtime),
        authenticators: vec![Arc::new(StaticTokens::follow(store, clock).await?)],
        settings: Settings::default(),
    })
    .await
}

async fn remove(platform: &Platform) -> Result<()> {
    for install in platform.registry().installs().await? {
        let mut line = Line::begin(format!("removing {}", install.value.server));
        platform.remove(&install.value.name).await?;
        line.done("gone".into());
    }
    Ok(())
}

impl Options {
    /// The server that is asked for: a program in the base image, or an image of its own.
    fn server(&self) -> Result<ServerSpec> {
        let (image, command) = (self.image.as_deref(), self.command.split_first());
        let mut spec = match (image, command) {
            (None, Some((program, args))) => ServerSpec::command(&self.name, program, args)?,
            (image, _) => ServerSpec::image(&self.name, image.unwrap_or("mcp/time"))?,
        };
        if let (portolan::core::Source::Image { program, args, .. }, Some((first, rest))) = (&mut spec.source, command)
        {
            *program = Some(first.clone());
            *args = rest.to_vec();
        }
        Ok(spec)
    }
}
