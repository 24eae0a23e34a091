//! Every client × every feature × every server: through the gateway, all is as it is without it.
//!
//! A client does all features in one run, directly and through the gateway; each test looks at one of them.

mod compare;
mod exceptions;
mod house;
mod npm;
mod run;
mod script;

use anyhow::{Result, bail, ensure};

use self::run::Run;
use self::script::{Fails, Feature, Step};
use crate::client::{Client, Era};
use crate::host::Host;

async fn same(feature: Feature, host: Host, client: Client, era: Era) -> Result<()> {
    let steps = script::steps(feature, host, era);
    ensure!(!steps.is_empty(), "nothing is done");
    let (through, direct) = tokio::join!(run::through(host, client, era), run::direct(feature, host, client, era));
    let (through, direct) = (through?, direct?);
    let is_modern = era == Era::Modern || host == Host::FixtureModern;
    let problem = look(&steps, feature, is_modern, &through, &direct);
    match (problem, exceptions::of(feature, host)) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Ok(()),
        (None, Some(why)) => bail!("it works, although it is an exception: {why}"),
        (Some(problem), None) => bail!("{problem}\n\nthe gateway's log:\n{}", through.log),
    }
}

/// What is not as it should be.
fn look(steps: &[Step], feature: Feature, is_modern: bool, through: &Run, direct: &Run) -> Option<String> {
    let (left, right) = (through.of(feature), direct.of(feature));
    for (at, step) in steps.iter().enumerate() {
        let (Some(left), Some(right)) = (left.get(at), right.get(at)) else {
            return Some(format!("step {at} was not done"));
        };
        let shown = format!("{}\nthrough: {left:#}\ndirect:  {right:#}", step.operation);
        if !step.fails.fits(right) {
            return Some(format!("it does not work directly: {shown}"));
        }
        if let Some(difference) = compare::difference(feature, step, left, right, is_modern) {
            return Some(format!("{difference}: {shown}"));
        }
    }
    None
}

impl Fails {
    /// Whether an outcome is as bad as is meant.
    fn fits(self, outcome: &serde_json::Value) -> bool {
        match self {
            Self::No => outcome.get("result").is_some() && outcome["result"]["isError"] != true,
            Self::AsTool => outcome["result"]["isError"] == true,
            Self::AsRequest => outcome["error"]["code"].is_number(),
        }
    }
}

macro_rules! cells {
    ($feature:ident: $($server:ident => $host:ident: $($name:ident $client:ident $era:ident,)+;)+) => { $(
        mod $server {
            use super::super::{Client, Era, Feature, Host, Result, same};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() -> Result<()> {
                    same(Feature::$feature, Host::$host, Client::$client, Era::$era).await
                }
            )+
        }
    )+ };
}

macro_rules! features {
    ($($name:ident $feature:ident),+ $(,)?; legacy $($legacy:ident $only:ident),+) => {
        $(
            mod $name {
                cells! { $feature:
                    fixture_legacy => FixtureLegacy: rmcp_legacy Rmcp Legacy, rmcp_modern Rmcp Modern,
                        sdk1_legacy Sdk1 Legacy, client2_legacy Client2 Legacy, client2_modern Client2 Modern,
                        mcp2_legacy Mcp2 Legacy, mcp2_modern Mcp2 Modern,;
                    fixture_modern => FixtureModern: rmcp_legacy Rmcp Legacy, rmcp_modern Rmcp Modern,
                        sdk1_legacy Sdk1 Legacy, client2_legacy Client2 Legacy, client2_modern Client2 Modern,
                        mcp2_legacy Mcp2 Legacy, mcp2_modern Mcp2 Modern,;
                    rmcp_server => Rmcp: rmcp_legacy Rmcp Legacy, rmcp_modern Rmcp Modern,
                        sdk1_legacy Sdk1 Legacy, client2_legacy Client2 Legacy, client2_modern Client2 Modern,
                        mcp2_legacy Mcp2 Legacy, mcp2_modern Mcp2 Modern,;
                    everything_over_http => NpmHttp: rmcp_legacy Rmcp Legacy, rmcp_modern Rmcp Modern,
                        sdk1_legacy Sdk1 Legacy, client2_legacy Client2 Legacy, client2_modern Client2 Modern,
                        mcp2_legacy Mcp2 Legacy, mcp2_modern Mcp2 Modern,;
                    everything_over_stdio => NpmStdio: rmcp_legacy Rmcp Legacy, rmcp_modern Rmcp Modern,
                        sdk1_legacy Sdk1 Legacy, client2_legacy Client2 Legacy, client2_modern Client2 Modern,
                        mcp2_legacy Mcp2 Legacy, mcp2_modern Mcp2 Modern,;
                }
            }
        )+
        $(
            mod $legacy {
                cells! { $only:
                    fixture_legacy => FixtureLegacy: rmcp_legacy Rmcp Legacy, sdk1_legacy Sdk1 Legacy,
                        client2_legacy Client2 Legacy, mcp2_legacy Mcp2 Legacy,;
                    fixture_modern => FixtureModern: rmcp_legacy Rmcp Legacy, sdk1_legacy Sdk1 Legacy,
                        client2_legacy Client2 Legacy, mcp2_legacy Mcp2 Legacy,;
                    rmcp_server => Rmcp: rmcp_legacy Rmcp Legacy, sdk1_legacy Sdk1 Legacy,
                        client2_legacy Client2 Legacy, mcp2_legacy Mcp2 Legacy,;
                    everything_over_http => NpmHttp: rmcp_legacy Rmcp Legacy, sdk1_legacy Sdk1 Legacy,
                        client2_legacy Client2 Legacy, mcp2_legacy Mcp2 Legacy,;
                    everything_over_stdio => NpmStdio: rmcp_legacy Rmcp Legacy, sdk1_legacy Sdk1 Legacy,
                        client2_legacy Client2 Legacy, mcp2_legacy Mcp2 Legacy,;
                }
            }
        )+
    };
}

features! {
    tools Tools,
    content Content,
    prompts Prompts,
    resources Resources,
    completion Completion,
    progress Progress,
    logging Logging,
    forms Forms,
    pages_to_visit Pages,
    sampling Sampling,
    roots Roots,
    changed_lists Changes,
    updated_resources Updates;
    legacy ping Ping
}
