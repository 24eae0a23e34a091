//! Processes on one PostgreSQL database that share a rotating refresh token.

use tempfile::TempDir;

use crate::{
    shared_refresh::{Shared, eight_processes, killed_processes},
    support::{Address, Schema},
};

fn shared(folder: &TempDir) -> Shared {
    let schema = Schema::new(Address::Direct);
    Shared {
        address: schema.address.url(),
        schema: schema.name,
        folder: folder.path().into(),
    }
}

#[test]
fn eight_processes_spend_no_token_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    eight_processes(&shared(&folder));
}

#[test]
fn killed_processes_spend_no_token_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    killed_processes(&shared(&folder));
}
