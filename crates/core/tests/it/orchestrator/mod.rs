//! The orchestrator on the backends in memory, with faults between them.

mod answers;
mod catalogue;
mod crash;
mod deletion;
mod faults;
mod follow;
mod install;
mod publication;
mod race;
mod removal;
mod repair;
mod run_spec;
mod status;
mod update;
mod world;

use world::World;
