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

mod asked;
mod begun;
mod declared;
mod drive;
mod inquiry;
mod listed;
mod mapped;
mod news;
mod offer;
mod pace;
mod related;
mod seal;
mod state;
mod ward;
mod watch;

pub(crate) use self::{
    asked::AskedTasks,
    begun::{Begun, Notes},
    declared::{are_known, call_as_task, insists, undeclared, with_tasks},
    drive::{Left, drive, go_on},
    mapped::serve,
    offer::{Support, capability, is_offered},
    related::renamed,
    seal::{Found, TaskIds, TaskSeal, find},
    watch::{Teller, Watched, Watching, watching},
};
