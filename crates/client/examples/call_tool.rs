//! Calls a tool of a server at a URL, of either era, and prints its text.
//!
//! ```text
//! cargo run -p portolan-client --example call_tool -- http://127.0.0.1:8000/mcp greet '{"name":"Ada"}'
//! ```
//!
//! Exits with 0 if the tool succeeded, with 1 if it failed, with 2 if it could not be called, with 64 for wrong arguments.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

use std::{process::ExitCode, sync::Arc};

use portolan_client::{Client, ClientConfig, RequestError, ToolResult, UpstreamCredential, UpstreamServer};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [url, tool] => Some((url, tool, Value::Null)),
        [url, tool, json] => serde_json::from_str(json).ok().map(|json| (url, tool, json)),
        _ => None,
    };
    let Some((url, tool, arguments)) = parsed else {
        eprintln!("usage: call_tool URL TOOL [ARGUMENTS], with the arguments as a JSON object");
        return ExitCode::from(64);
    };
    match call(url, tool, arguments).await {
        Ok(result) => {
            println!("{}", result.text());
            if let Some(structured) = result.structured_content() {
                println!("{}", String::from_utf8_lossy(structured));
            }
            ExitCode::from(u8::from(result.is_error()))
        }
        Err(RequestError::Failed(error)) => {
            eprintln!("{}", error.report());
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn call(url: &str, tool: &str, arguments: Value) -> Result<ToolResult, RequestError> {
    let client = Client::new(ClientConfig::default().with_name("call_tool"));
    let server = UpstreamServer::at_url(&client, url)?;
    server
        .call_tool(tool, arguments, &Arc::new(UpstreamCredential::none()))
        .await
}
