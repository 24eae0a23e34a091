//! What is done in a scenario: nearly always, everything that can be done.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::{
    Task,
    front::{Front, answered, call},
    person,
};

/// Does what the scenario looks at.
pub(crate) async fn play(task: &Task, front: &Front) -> Result<()> {
    match task.scenario.as_str() {
        "sep-2322-client-request-state" => questions(front).await,
        "json-schema-2020-12-preservation" => echo_schema(front).await,
        _ => everything(task, front).await,
    }
}

/// Lists all there is and uses it.
async fn everything(task: &Task, front: &Front) -> Result<()> {
    let tools = front.tools().await?;
    match task.context["toolCalls"].as_array() {
        Some(calls) => {
            for call in calls {
                let tool = call["name"].as_str().context("a call of nothing")?;
                front.call(tool, &call["arguments"]).await?;
            }
        }
        None => {
            for tool in &tools {
                let name = tool["name"].as_str().context("a tool without a name")?;
                front.call(name, &arguments(&tool["inputSchema"])).await?;
            }
        }
    }
    for resource in front.list("resources/list", "resources").await? {
        front.request("resources/read", json!({"uri": resource["uri"]})).await?;
    }
    for prompt in front.list("prompts/list", "prompts").await? {
        front.request("prompts/get", json!({"name": prompt["name"]})).await?;
    }
    Ok(())
}

/// Arguments for what a schema wants.
fn arguments(schema: &Value) -> Value {
    let wanted = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let arguments: Map<String, Value> = wanted
        .map(|name| (name.to_owned(), person::least(&schema["properties"][name])))
        .collect();
    Value::Object(arguments)
}

/// Questions and their answers, with something else in between that must see nothing of them (SEP-2322).
async fn questions(front: &Front) -> Result<()> {
    front.tools().await?;
    for tool in ["test_mrtr_echo_state", "test_mrtr_no_state"] {
        let params = call(tool, &json!({}));
        let asked = front.round("tools/call", &params).await?;
        ensure!(asked["resultType"] == "input_required", "{tool} asks nothing");
        front.call("test_mrtr_unrelated", &json!({})).await?;
        let done = front.round("tools/call", &answered(&params, &asked)).await?;
        ensure!(done["resultType"] == "complete", "{tool} is not done: {done}");
    }
    let done = front.call("test_mrtr_no_result_type", &json!({})).await?;
    ensure!(done["resultType"] == "complete", "a result of no type: {done}");
    Ok(())
}

/// Sends a tool's schema back as it was received (SEP-1613, SEP-2106).
async fn echo_schema(front: &Front) -> Result<()> {
    let tools = front.tools().await?;
    let focal = tools.iter().find(|tool| tool["name"] == "json_schema_2020_12_tool");
    let schema = &focal.context("the tool with the schema is not listed")?["inputSchema"];
    front.call("json_schema_echo", &json!({"schema": schema})).await?;
    Ok(())
}
