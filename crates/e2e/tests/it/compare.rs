//! Compares the results of two clients, apart from what the eras add.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::client::{Document, Era};

/// Tools that a server over stdio offers only where people can be asked. One process serves all clients, so it is told what
/// any of them may be asked; these clients, directly, say that nobody is there.
pub(crate) const FOR_PEOPLE: [&str; 2] = ["trigger-elicitation-request", "trigger-url-elicitation"];

/// Compares what was seen through the gateway, in this era, with what was seen directly.
pub(crate) fn same(through: &Document, era: Era, direct: &Document) -> Result<()> {
    let names = through.tool_names();
    ensure!(names.is_sorted(), "the tools are not sorted by name: {names:?}");
    ensure!(names.len() == through.tools.len(), "a tool has no name");
    same_tools(through, era, direct)?;
    ensure!(
        direct.results.first().is_some_and(succeeded),
        "the first call fails: {:#?}",
        direct.results.first()
    );
    ensure!(
        through.results.len() == direct.results.len(),
        "not every call was answered"
    );
    for (at, (left, right)) in through.results.iter().zip(&direct.results).enumerate() {
        let (left, right) = (without_era(left), without_era(right));
        ensure!(
            left == right,
            "call {at} differs\nthrough: {left:#}\ndirect:  {right:#}"
        );
    }
    Ok(())
}

fn same_tools(through: &Document, era: Era, direct: &Document) -> Result<()> {
    let (mut through, direct) = (by_name(through, era), by_name(direct, era));
    through.retain(|name, _| direct.contains_key(name) || !FOR_PEOPLE.contains(&name.as_str()));
    let names = |tools: &BTreeMap<String, Value>| tools.keys().cloned().collect::<Vec<_>>();
    ensure!(!direct.is_empty(), "the server has no tools");
    ensure!(
        names(&through) == names(&direct),
        "through: {:?}\ndirect:  {:?}",
        names(&through),
        names(&direct)
    );
    for (name, tool) in &direct {
        ensure!(
            through[name] == *tool,
            "tool {name} differs\nthrough: {:#}\ndirect:  {tool:#}",
            through[name]
        );
    }
    Ok(())
}

/// Tools by name. A modern tool has no `execution`, and not every modern client hands on one that is there.
fn by_name(document: &Document, era: Era) -> BTreeMap<String, Value> {
    let tools = document
        .tools
        .iter()
        .filter_map(|tool| Some((tool["name"].as_str()?.to_owned(), tool.clone())));
    let mut tools: BTreeMap<String, Value> = tools.collect();
    if era != Era::Legacy {
        for tool in tools.values_mut().filter_map(Value::as_object_mut) {
            tool.remove("execution");
        }
    }
    tools
}

fn succeeded(outcome: &Value) -> bool {
    outcome["result"].is_object() && outcome["result"]["isError"] != true
}

/// The modern era says of each result that it is complete, and by whom. The legacy era says neither.
fn without_era(outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    if let Some(result) = outcome.get_mut("result").and_then(Value::as_object_mut) {
        result.remove("resultType");
        if let Some(meta) = result.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.remove("io.modelcontextprotocol/serverInfo");
            if meta.is_empty() {
                result.remove("_meta");
            }
        }
    }
    outcome
}
