//! Tasks: calls that go on after their answer, and are asked for by an id.
//!
//! 2026-07-28 has them as an extension (SEP-2663).
//!
//! | client, server | what becomes of them |
//! | --- | --- |
//! | modern, modern | they pass, their ids sealed ([`seal`]) |
//! | legacy, legacy | the tasks of 2025-11-25 pass, their ids sealed; the session's are listed ([`listed`]) |
//! | modern, legacy | those of 2025-11-25 are made ones of the extension ([`mapped`]) |
//! | without tasks, legacy | a tool that is done only as a task: the same is driven |
//! | without tasks, modern | a call that its server does only as a task is driven to its end here ([`drive`]) |

mod cancel_on_drop;
mod declared;
mod driver;
mod ids;
mod inputs;
mod legacy;
mod list;
mod poll_interval;
mod progress;
mod query;
mod related;
mod session_tasks;
mod state;
mod support;
mod watch;

pub(crate) use self::{
    declared::{are_known, call_as_task, insists, undeclared, with_tasks},
    driver::{TaskContinuation, drive, go_on},
    ids::{FoundTask, TaskIds, TaskSeal, find},
    inputs::TaskInputs,
    legacy::serve,
    related::renamed,
    session_tasks::{SessionTasks, TaskRecorder},
    support::{Support, capability, is_offered},
    watch::{TaskNotifier, WatchedTasks, Watching, watching},
};
