//! The public face of the store, on files and in memory.

mod audit;
mod backup;
mod conformance;
mod conversion;
mod feed;
#[path = "../shared/history.rs"]
mod history;
mod key_file;
mod persistence;
mod pool;
mod processes;
mod refresh;
mod refusals;
mod remote;
mod rotation;
mod secrecy;
#[path = "../shared/backup.rs"]
mod shared_backup;
#[path = "../shared/refresh.rs"]
mod shared_refresh;
mod support;
mod tool_sets;
mod upgrade;
