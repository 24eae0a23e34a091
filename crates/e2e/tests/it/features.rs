//! Every client × every feature × every server: through the gateway, all is as it is without it.
//!
//! A client does all features in one run, directly and through the gateway; each test looks at one of them.

mod compare;
mod exceptions;
mod fixture;
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

portolan_fixtures::matrix! {
    same: {
        tools(Feature::Tools),
        content(Feature::Content),
        prompts(Feature::Prompts),
        resources(Feature::Resources),
        completion(Feature::Completion),
        progress(Feature::Progress),
        logging(Feature::Logging),
        form_elicitation(Feature::Forms),
        url_elicitation(Feature::Pages),
        sampling(Feature::Sampling),
        roots(Feature::Roots),
        list_changes(Feature::Changes),
        resource_updates(Feature::Updates),
    } x {
        fixture_legacy(Host::FixtureLegacy),
        fixture_modern(Host::FixtureModern),
        rmcp_server(Host::Rmcp),
        everything_over_http(Host::NpmHttp),
        everything_over_stdio(Host::NpmStdio),
    } x {
        rmcp_legacy(Client::Rmcp, Era::Legacy),
        rmcp_modern(Client::Rmcp, Era::Modern),
        sdk1_legacy(Client::Sdk1, Era::Legacy),
        client2_legacy(Client::Client2, Era::Legacy),
        client2_modern(Client::Client2, Era::Modern),
        mcp2_legacy(Client::Mcp2, Era::Legacy),
        mcp2_modern(Client::Mcp2, Era::Modern),
    }
}

// Modern clients do not ping.
portolan_fixtures::matrix! {
    same: { ping(Feature::Ping) } x {
        fixture_legacy(Host::FixtureLegacy),
        fixture_modern(Host::FixtureModern),
        rmcp_server(Host::Rmcp),
        everything_over_http(Host::NpmHttp),
        everything_over_stdio(Host::NpmStdio),
    } x {
        rmcp_legacy(Client::Rmcp, Era::Legacy),
        sdk1_legacy(Client::Sdk1, Era::Legacy),
        client2_legacy(Client::Client2, Era::Legacy),
        mcp2_legacy(Client::Mcp2, Era::Legacy),
    }
}
