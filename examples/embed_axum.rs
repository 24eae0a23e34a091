//! Inside an application that already has a server: the gateway becomes a part of its router.
//!
//! ```text
//! cargo run --example embed_axum
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use axum::{Router, routing::get, serve::ListenerExt};
use portolan::{Owner, Platform, ServerSpec};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let platform = Platform::local("portolan.db").await?;
    if let Some(url) = std::env::args().nth(1) {
        let server = platform.add(ServerSpec::remote("remote", url)).await?;
        let install = platform.install(&server, Owner::Org).await?;
        platform.gateway("default").serve_all_of(&install).await?;
    }
    let gateway = platform.gateway("default").change(|_| {}).await?;
    let token = platform.rotate_token(&gateway, Owner::Org, "embed_axum").await?;

    let app = Router::new()
        .route("/", get(|| async { "an application of its own" }))
        .merge(platform.router());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!(
        "http://127.0.0.1:8080/mcp/{gateway}   Authorization: Bearer {}",
        token.reveal()
    );
    // Small events are held back for up to 40 ms without this.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await?;
    Ok(())
}
