//! Inside an application that already has a server: the gateways become a part of its router.
//!
//! ```text
//! cargo run --example embed_axum                                              with no server behind it yet
//! cargo run --example embed_axum -- npx -y @modelcontextprotocol/server-everything
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::time::Duration;

use axum::{Router, routing::get, serve::ListenerExt};
use portolan::{Owner, Platform, Selection, ServerSpec, stop_signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let platform = Platform::local("portolan.db").await?;
    let gateway = platform.gateway("default").select(Selection::All).await?;
    let mut words = std::env::args().skip(1);
    if let Some(program) = words.next() {
        let server = platform.add(ServerSpec::command("embedded", program, words)?).await?;
        platform.install(&server, Owner::Org).await?;
    }
    let token = platform.rotate_token(&gateway, Owner::Org, "embed_axum").await?;

    let app = Router::new()
        .route("/", get(|| async { "an application of its own\n" }))
        // Or below a path of the application's choice: .nest_service("/mcp", platform.gateway_service())
        .merge(platform.router());

    println!(
        "http://127.0.0.1:8080/mcp/{gateway}   Authorization: Bearer {}",
        token.reveal()
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    // Small events are held back for up to 40 ms without this.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    // Calls under way may finish; then no child process is left and no stream is open.
    let end = platform.shutdown_on(stop_signal(), Duration::from_secs(10));
    Ok(axum::serve(listener, app).with_graceful_shutdown(end).await?)
}
