//! Processes on one file that share a rotating refresh token.

use crate::{
    shared_refresh::{Shared, eight_processes, killed_processes},
    support::Place,
};

fn shared(place: &Place) -> Shared {
    Shared {
        address: place.database().display().to_string(),
        schema: "portolan".into(),
        folder: place.path(""),
    }
}

#[test]
fn eight_processes_spend_no_token_twice() {
    let place = Place::new();
    eight_processes(&shared(&place));
}

#[test]
fn killed_processes_spend_no_token_twice() {
    let place = Place::new();
    killed_processes(&shared(&place));
}
