//! MCP servers as supervised child processes.
//!
//! - [`ProcessRuntime`] is core's [`Runtime`](portolan_core::Runtime) on one machine.
//! - [`StdioServer`] is one stdio server without a runtime: a [`Channel`](portolan_core::Channel) for many callers.
//! - [`StdioChannel`] and [`Connection`] are what it is made of, for those who bring a reader and a writer of their own.
//! - The feature `bridge` has the program `portolan-bridge`, which serves a stdio server as streamable HTTP.
//!
//! ```no_run
//! # async fn example() -> Result<(), portolan_core::Error> {
//! use portolan_core::{Channel, ChannelRequest};
//! use portolan_process::{ProcessConfig, ServerCommand, StdioServer};
//!
//! let config = ProcessConfig::new("/run/portolan").search_path("/usr/local/bin:/usr/bin:/bin");
//! let server = StdioServer::start("time", ServerCommand::new("uvx", ["mcp-server-time"]), &config);
//! let request = ChannelRequest::new("tools/list", None, std::time::Duration::from_secs(30));
//! let answer = server.call(request).await?.answer().await?;
//! # Ok(())
//! # }
//! ```
//!
//! One supervisor owns a process: it starts it, shakes hands once, carries many calls at a time, starts it again when
//! it ends, and kills the whole process group when it is dropped. It needs a tokio runtime with time and I/O.
//!
//! Unix only. **A child process is not a security boundary**: it runs as the host's user and can read what that user
//! can read.

#[cfg(feature = "bridge")]
pub mod bridge;
mod command;
mod command_factory;
mod config;
mod connection;
mod dispatcher;
mod handshake;
mod host;
mod id_scanner;
mod inbound;
mod launch;
mod line;
mod logs;
mod per_session;
mod process_group;
mod process_loop;
mod progress;
mod reader;
mod redact;
mod restart;
mod runtime;
mod server;
mod server_process;
mod stdio_channel;
mod supervisor;
mod workdir;
mod writer;

pub use command::{ResolvedValue, ServerCommand};
pub use config::{ProcessConfig, ProcessLimits, WorkDir};
pub use connection::{Connection, ConnectionConfig, LogSink};
pub use dispatcher::CallError;
pub use restart::RestartPolicy;
pub use runtime::ProcessRuntime;
pub use server::StdioServer;
pub use stdio_channel::StdioChannel;
