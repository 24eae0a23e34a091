//! Two clients at once respond differently to the same requests: no response reaches the other's call.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::host::Host;

const CALLS: usize = 8;

/// A client who answers with this name.
fn script(name: &str) -> Value {
    let ask = json!({ "do": "call", "name": "test_elicitation", "arguments": { "message": "Who?" } });
    let think = json!({ "do": "call", "name": "test_sampling", "arguments": { "prompt": "Who?" } });
    let said = json!({ "type": "text", "text": name });
    let operations = [vec![ask; CALLS], vec![think; CALLS]].concat();
    json!({
        "answers": {
            "elicit": { "*": { "action": "accept", "content": { "username": name, "email": "x@example.org" } } },
            "sample": { "role": "assistant", "content": said, "model": "none" },
            "roots": [],
        },
        "operations": operations,
    })
}

async fn separate(one: (Client, Era), other: (Client, Era), host: Host) -> Result<()> {
    let server = host.start().await?;
    let gateway = Gateway::start_with(Naming::Plain, &[("only", &server.target)], &["--asks-all"]).await?;
    let (ada, charles) = (script("Ada"), script("Charles"));
    let played = tokio::try_join!(
        one.0.play(one.1, &gateway.target, &ada),
        other.0.play(other.1, &gateway.target, &charles),
    );
    let judged = played.and_then(|(ada, charles)| {
        own(&ada, "Ada", "Charles").context("the first client")?;
        own(&charles, "Charles", "Ada").context("the second client")
    });
    gateway.explain(judged)
}

fn own(outcomes: &[Value], name: &str, other: &str) -> Result<()> {
    ensure!(outcomes.len() == 2 * CALLS, "not every call was made");
    for outcome in outcomes {
        let text = outcome["result"]["content"][0]["text"].as_str().unwrap_or_default();
        ensure!(text.contains(name) && !text.contains(other), "{outcome:#}");
        ensure!(
            outcome["asked"].as_array().is_some_and(|asked| asked.len() == 1),
            "{outcome:#}"
        );
    }
    Ok(())
}

portolan_fixtures::matrix! {
    separate: {
        rmcp_of_both_eras((Client::Rmcp, Era::Legacy), (Client::Rmcp, Era::Modern)),
        typescript_legacy((Client::Sdk1, Era::Legacy), (Client::Client2, Era::Legacy)),
        typescript_modern((Client::Client2, Era::Modern), (Client::Client2, Era::Modern)),
        python_of_both_eras((Client::Mcp2, Era::Legacy), (Client::Mcp2, Era::Modern)),
    } x {
        legacy_server(Host::FixtureLegacy),
        modern_server(Host::FixtureModern),
    }
}
