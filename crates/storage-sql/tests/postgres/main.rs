//! The store on PostgreSQL, directly and behind poolers. `cargo xtask test --only storage` brings the servers.

mod audit;
mod backup;
mod conformance;
mod feed;
#[path = "../shared/history.rs"]
mod history;
mod opening;
mod outage;
mod poolers;
mod processes;
mod refresh;
mod sealing;
#[path = "../shared/backup.rs"]
mod shared_backup;
#[path = "../shared/refresh.rs"]
mod shared_refresh;
mod support;
