//! Runs, each made once, by the first test that looks at it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::script::{ALL, Feature, answers, steps};
use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::host::Host;
use crate::server::Target;

/// The results of a client, of all features.
#[derive(Clone, Debug)]
pub(super) struct Run {
    outcomes: HashMap<Feature, Vec<Value>>,
    pub(super) log: String,
}

impl Run {
    pub(super) fn of(&self, feature: Feature) -> &[Value] {
        self.outcomes.get(&feature).map_or(&[], Vec::as_slice)
    }
}

type Key = (Host, Client, Era, bool);
type Shared = Arc<OnceCell<Result<Run, String>>>;

static RUNS: LazyLock<Mutex<HashMap<Key, Shared>>> = LazyLock::new(Mutex::default);

fn shared(key: Key) -> Shared {
    let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    runs.entry(key).or_default().clone()
}

/// What the client sees through the gateway.
pub(super) async fn through(host: Host, client: Client, era: Era) -> Result<Run> {
    let shared = shared((host, client, era, true));
    let run = shared.get_or_init(|| async {
        let run = async {
            let server = host.start().await?;
            let gateway = Gateway::start_with(
                Naming::Plain,
                &[("only", &server.target)],
                &["--asks-all", "--page", "3"],
            )
            .await?;
            let seen = play(host, client, era, &gateway.target).await;
            let mut run = gateway.explain(seen)?;
            run.log = gateway.log();
            Ok(run)
        };
        run.await.map_err(|error: anyhow::Error| format!("{error:#}"))
    });
    run.await
        .clone()
        .map_err(|error| anyhow!(error))
        .context("through the gateway")
}

/// What the client sees of the server itself, in the era that both speak; of the same server in the other era where it does
/// not speak that one, or where the feature is not in it.
pub(super) async fn direct(feature: Feature, host: Host, client: Client, era: Era) -> Result<Run> {
    let (host, era) = match host {
        Host::FixtureModern if client == Client::Sdk1 || feature == Feature::Ping => (Host::FixtureLegacy, Era::Legacy),
        Host::FixtureModern => (host, Era::Modern),
        Host::Rmcp => (host, era),
        Host::FixtureLegacy | Host::NpmHttp | Host::NpmStdio => (host, Era::Legacy),
    };
    let shared = shared((host, client, era, false));
    let run = shared.get_or_init(|| async {
        let run = async {
            let server = host.start().await?;
            play(host, client, era, &server.target).await
        };
        run.await.map_err(|error: anyhow::Error| format!("{error:#}"))
    });
    run.await.clone().map_err(|error| anyhow!(error)).context("directly")
}

async fn play(host: Host, client: Client, era: Era, target: &Target) -> Result<Run> {
    let planned: Vec<_> = ALL.map(|feature| (feature, steps(feature, host, era))).into();
    let operations: Vec<&Value> = planned
        .iter()
        .flat_map(|(_, steps)| steps.iter().map(|step| &step.operation))
        .collect();
    let script = json!({ "answers": answers(), "operations": operations });
    let mut outcomes = client.play(era, target, &script).await?.into_iter();
    let outcomes = planned
        .iter()
        .map(|(feature, steps)| (*feature, outcomes.by_ref().take(steps.len()).collect()));
    Ok(Run {
        outcomes: outcomes.collect(),
        log: String::new(),
    })
}
