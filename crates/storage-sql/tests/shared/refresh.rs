//! A rotating refresh token, shared by processes of which some die, on either database.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Where the processes meet: a database, a schema in it, a folder for keys and provider.
pub(crate) struct Shared {
    pub(crate) address: String,
    pub(crate) schema: String,
    pub(crate) folder: PathBuf,
}

/// The example `refresher`, which cargo builds beside the tests.
fn refresher(shared: &Shared, rounds: usize) -> Child {
    let this = std::env::current_exe().expect("this test");
    let target: PathBuf = this.ancestors().nth(2).expect("target directory").into();
    let program = target.join("examples/refresher");
    Command::new(&program)
        .args([&shared.address, &shared.schema])
        .args([shared.folder.join("key"), shared.folder.join("provider")])
        .arg(rounds.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| {
            panic!("{program:?} does not start ({e}); run cargo test without --test, or build --examples")
        })
}

/// The numbers of tokens that the provider exchanged, and that were presented to it again.
fn exchanged(place: &Shared) -> (usize, usize) {
    let names: Vec<String> = std::fs::read_dir(place.folder.join("provider"))
        .expect("the provider")
        .map(|entry| entry.expect("a token").file_name().to_string_lossy().into_owned())
        .collect();
    let count = |end| names.iter().filter(|name| name.ends_with(end)).count();
    (count(".spent"), count(".reused"))
}

/// Eight processes that all go on to the end.
pub(crate) fn eight_processes(place: &Shared) {
    std::fs::create_dir(place.folder.join("provider")).expect("made");
    let children: Vec<_> = (0..8).map(|_| refresher(place, 15)).collect();
    for child in children {
        let output = child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("done"), "{output:?}");
        assert!(!said.contains("sign-in"), "nobody died: {said}");
    }
    let (spent, reused) = exchanged(place);
    assert_eq!(reused, 0);
    // Fewer exchanges than refreshes: who waited got the new token.
    assert!((15..=8 * 15).contains(&spent), "{spent}");
}

/// Eight processes at a time that are killed, most in the middle of a refresh.
pub(crate) fn killed_processes(place: &Shared) {
    std::fs::create_dir(place.folder.join("provider")).expect("made");
    for round in 0..6 {
        let mut children: Vec<_> = (0..8).map(|_| refresher(place, 1_000)).collect();
        // Each is killed after another number of refreshes, most in the middle of one.
        for (number, child) in children.iter_mut().enumerate() {
            let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            for _ in 0..(round + number) % 3 + 1 {
                let line = lines.next().expect("it goes on").expect("a line");
                assert!(!line.contains("presented again"), "{line}");
            }
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }
    let output = refresher(place, 5).wait_with_output().expect("ended");
    assert!(output.status.success(), "it goes on in the end: {output:?}");
    let (spent, reused) = exchanged(place);
    assert_eq!(reused, 0);
    assert!(spent > 20, "{spent}");
}
