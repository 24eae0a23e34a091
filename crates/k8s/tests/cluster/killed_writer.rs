//! The credential store when its program is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use kube::Client;
use portolan_core::{CredentialKey, CredentialReader, CredentialStore, Precondition, Secret};
use portolan_k8s::{KubeCredentials, KubeCredentialsConfig};

use crate::{
    sandbox::{CREDENTIALS_RBAC, Sandbox, account_config, in_sandbox_for, kubeconfig},
    wait::eventually,
};

/// The namespace and the token of a program that writes, in its environment.
const NAMESPACE: &str = "PORTOLAN_TEST_WRITER_NAMESPACE";
const TOKEN: &str = "PORTOLAN_TEST_WRITER_TOKEN";

/// How many writes are acknowledged before a program is killed.
const WRITES: usize = 100;

fn key(number: usize) -> CredentialKey {
    CredentialKey::parse(format!("kill/{number}")).expect("a key")
}

fn value(number: usize) -> String {
    format!("{number:08}").repeat(200)
}

/// This test starts itself again as the program that writes, and kills it, ten times.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() {
    if let Some((namespace, token)) = task() {
        return write_forever(&namespace, &token).await;
    }
    in_sandbox_for("kill", CREDENTIALS_RBAC, async |sandbox| {
        let config = KubeCredentialsConfig::in_namespace(&sandbox.namespace);
        let store = KubeCredentials::new(sandbox.client.0.clone(), config).expect("a configuration");
        eventually("the API server knows the Role", Duration::from_secs(20), async || {
            store.keys("", None, 1).await.ok()
        })
        .await;
        let mut acknowledged = BTreeMap::new();
        for round in 0..10 {
            let told = run_and_kill(&sandbox, WRITES + round * 3).await;
            assert!(told.len() >= WRITES, "it wrote {} times", told.len());
            for line in told {
                let (key, number) = line.split_once(' ').expect("a key and a number");
                acknowledged.insert(key.to_owned(), number.parse::<usize>().expect("a number"));
            }
            // One write at most was applied and not told.
            for (key, number) in &acknowledged {
                let key = CredentialKey::parse(key).expect("a key");
                let found = store.read(&key).await.expect("read").expect("it was acknowledged");
                let is_whole = [*number, *number + 7]
                    .iter()
                    .any(|number| found.value.reveal() == value(*number));
                assert!(is_whole, "{key} was {number}, round {round}");
            }
        }
        assert_eq!(store.keys("", None, 100).await.expect("keys").len(), 7);
    })
    .await;
}

/// Runs the program until it acknowledged `writes` writes, kills it, and returns what it acknowledged.
async fn run_and_kill(sandbox: &Sandbox, writes: usize) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args([
            "--exact",
            "killed_writer::acknowledged_writes_survive_kill_9",
            "--nocapture",
        ])
        .env("PORTOLAN_KUBECONFIG", kubeconfig())
        .env(NAMESPACE, &sandbox.namespace)
        .env(TOKEN, sandbox.token())
        .stdout(Stdio::piped());
    let reading = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut told = lines
            .map_while(Result::ok)
            .filter_map(|line| Some(line.split_once("wrote ")?.1.to_owned()));
        let mut acknowledged: Vec<_> = told.by_ref().take(writes).collect();
        child.kill().expect("killed");
        child.wait().expect("ended");
        // What it told before it died.
        acknowledged.extend(told);
        acknowledged
    });
    reading.await.expect("no panic")
}

#[expect(clippy::disallowed_methods, reason = "the child is told its task by its environment")]
fn task() -> Option<(String, String)> {
    Some((std::env::var(NAMESPACE).ok()?, std::env::var(TOKEN).ok()?))
}

/// Writes to seven keys in turn, each time the next number, and tells what was acknowledged.
async fn write_forever(namespace: &str, token: &str) {
    let client = Client::try_from(account_config(token.to_owned()).await).expect("a client");
    let config = KubeCredentialsConfig::in_namespace(namespace);
    let store = KubeCredentials::new(client, config).expect("a configuration");
    let mut numbers = Vec::new();
    for at in 0..7 {
        let found = store.read(&key(at)).await.expect("read");
        let last = found.map(|found| found.value.reveal()[..8].parse::<usize>().expect("a number"));
        numbers.push(last.map_or(at, |last| last + 7));
    }
    for turn in 0.. {
        let at = turn % 7;
        let (key, number) = (key(at), numbers[at]);
        let now = store.read(&key).await.expect("read");
        let when = now.map_or(Precondition::Absent, |now| Precondition::Version(now.version));
        store.put(&key, Secret::new(value(number)), when).await.expect("put");
        numbers[at] += 7;
        let mut out = std::io::stdout().lock();
        writeln!(out, "wrote {key} {number}").expect("told");
        out.flush().expect("told");
    }
}
