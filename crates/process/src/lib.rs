//! MCP servers as supervised child processes.
//!
//! - [`ProcessRuntime`] is core's [`Runtime`](portolan_core::Runtime) on one machine.
//! - [`StdioServer`] is one stdio server without a runtime: a [`Channel`](portolan_core::Channel) for many callers.
//! - [`PerSessionServer`] is one with a process for each conversation.
//! - [`StdioChannel`] and [`Connection`] are its parts, for hosts with a reader and a writer of their own.
//! - The feature `bridge` has the program `portolan-bridge`, which serves a stdio server as streamable HTTP.
//!
//! ```no_run
//! # async fn example() -> Result<(), portolan_core::Error> {
//! use portolan_core::{Channel, ChannelRequest};
//! use portolan_process::{ProcessConfig, ServerCommand, StdioServer};
//!
//! let config = ProcessConfig::new("/run/portolan").with_search_path("/usr/local/bin:/usr/bin:/bin");
//! let server = StdioServer::start("time", ServerCommand::new("uvx", ["mcp-server-time"]), &config);
//! let request = ChannelRequest::new("tools/list", None, std::time::Duration::from_secs(30));
//! let response = server.call(request).await?.answer().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A supervisor owns each server: it spawns the process, performs the handshake once, carries many calls at a time,
//! restarts the process when it ends, and kills it with all that it started when it is dropped. It needs a tokio runtime
//! with time and I/O, and Unix.
//!
//! **A child process is not a security boundary**: it runs as the host's user and can read what that user can read.
//!
//! # Children when the host ends
//!
//! Each server runs in a process group of its own, so a signal to the host's group (Ctrl-C in a terminal) does not reach
//! it. What ends it depends on how the host ends:
//!
//! | the host | a server | its private directory |
//! | --- | --- | --- |
//! | awaits [`StdioServer::stop`], [`Runtime::remove`](portolan_core::Runtime::remove) or [`Runtime::shutdown`](portolan_core::Runtime::shutdown) | ends in order: closed stdin, `SIGTERM`, `SIGKILL`, [`ProcessConfig::stop_grace`] each | removed |
//! | drops the [`StdioServer`], the [`ProcessRuntime`] or the tokio runtime | is killed | removed |
//! | is killed, aborts, or calls `std::process::exit` | sees the end of its standard input; the watchdog sends `SIGTERM` after the grace, and `SIGKILL` after another one | left behind, with its secret files, until the next start |
//! | is killed together with its watchdog | ends if it heeds the end of its input, else **it goes on** until the next start | likewise |
//!
//! Each row means the server's process group, its descendants, and all helpers that have the variable `PORTOLAN_RUN` in
//! their environment, which they inherit from the server: a browser in a session of its own ends with its server.
//!
//! The *watchdog* is a shell process beside the host, which sees by the end of a pipe that the host is gone. The *next
//! start* is that of any host with the same [`ProcessConfig::base_dir`]: before its first server it ends what is recorded
//! there by hosts that run no longer, each process only if it is still the same (id and start time). The record, in the
//! directory `hosts`, has mode 0600, and holds neither secrets nor arguments.
//! [`ProcessConfig::orphan_cleanup`] turns both off.
//!
//! Both are for Linux: elsewhere, and where a kill takes the watchdog too, let the service manager end the whole cgroup
//! (`KillMode=control-group`, the default of systemd), or run the host as a container. Handle `SIGTERM`, so that a service
//! manager's stop is the first row. If the port of a server that is reached by HTTP is taken, the failure names the
//! process that has it, and whether a host left it behind.
//!
//! # Events
//!
//! Lifecycle events go to `tracing` with the target `portolan_process`. Messages, levels and fields are part of the
//! interface. No event contains a secret, an argument or a line of the log.
//!
//! | level | message | fields | when |
//! | --- | --- | --- | --- |
//! | info | `server started` | `server`, `pid`, `start` | a process was spawned; `start` counts from 1 |
//! | info | `server ready` | `server`, `pid`, `version`, `restarts` | the handshake succeeded; `version` is the protocol version, absent for a server reached by HTTP |
//! | info | `server stopped` | `server`, `pid`, `exit_status`, `reason` | a process ended because of a stop, a restart, a start that took too long, or a drop |
//! | warn | `orphaned servers ended` | `pids` | servers that a killed host had left were found at a start |
//! | warn | `server exited` | `server`, `pid`, `exit_status`, `uptime_ms` | a process ended by itself; `uptime_ms` is how long it was ready |
//! | warn | `server restart scheduled` | `server`, `reason`, `restarts`, `failures`, `delay_ms` | the next start follows after `delay_ms`; calls wait |
//! | error | `server in a crash loop` | `server`, `reason`, `restarts`, `failures`, `delay_ms` | calls fail at once; the next start follows after `delay_ms` |
//! | error | `server cannot be started` | `server`, `reason`, `restarts`, `failures`, `delay_ms` | likewise, after a failure that a soon retry does not mend: no such program, a missing secret, no MCP |
//!
//! `restarts` counts all restarts of the server, `failures` those in a row.
//!
//! # Features
//!
//! - `bridge`: the program `portolan-bridge`. Default: off.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!(
    "portolan-process needs Unix (process groups, signals, file modes): on this target, leave out the crate, or of \
     `portolan` and `portolan-gateway` the feature `process` (`default-features = false`), and reach servers by HTTP"
);

#[cfg(feature = "bridge")]
#[cfg_attr(docsrs, doc(cfg(feature = "bridge")))]
pub mod bridge;
mod channel;
mod command;
mod command_factory;
mod config;
mod host;
mod host_record;
mod limits;
mod logs;
mod per_session;
mod per_session_server;
mod processes;
mod redact;
mod restart_policy;
mod runtime;
mod server;
mod supervisor;

pub use channel::{CallError, Connection, ConnectionConfig, LogSink, StdioChannel};
pub use command::{ResolvedValue, ServerCommand};
pub use config::{ProcessConfig, WorkDir};
pub use limits::ProcessLimits;
pub use per_session_server::PerSessionServer;
pub use restart_policy::RestartPolicy;
pub use runtime::ProcessRuntime;
pub use server::StdioServer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
