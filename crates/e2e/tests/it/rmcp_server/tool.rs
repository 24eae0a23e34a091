//! The tools.
#![expect(deprecated, reason = "what is deprecated is still to be relayed")]

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, InputRequests, InputRequiredResult, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{RequestContext, ServiceError};
use rmcp::{ErrorData, RoleServer};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Conversation, content, model, result};

/// Time enough for a client to see one message before the next.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn list(with_dynamic: bool) -> Vec<Value> {
    let tool = |name: &str, properties: Value| {
        json!({
            "name": name,
            "description": format!("The tool {name}"),
            "inputSchema": { "type": "object", "properties": properties },
        })
    };
    let text = json!({ "type": "string" });
    let mut tools: Vec<Value> = [
        "test_simple_text",
        "test_image_content",
        "test_audio_content",
        "test_embedded_resource",
        "test_resource_links",
        "test_multiple_content_types",
        "test_error_handling",
        "test_tool_with_logging",
        "test_tool_with_progress",
        "test_elicitation_url",
        "test_input_required_result_list_roots",
        "test_trigger_tool_change",
        "test_trigger_prompt_change",
        "test_trigger_resource_change",
        "test_trigger_resource_update",
    ]
    .into_iter()
    .map(|name| tool(name, json!({})))
    .collect();
    tools.push(tool("test_elicitation", json!({ "message": text })));
    tools.push(tool("test_sampling", json!({ "prompt": text })));
    tools.push(tool(
        "test_custom_header",
        json!({ "region": { "type": "string", "x-mcp-header": "Region" } }),
    ));
    tools.push(tool("日本語", json!({})));
    let mut structured = tool("test_structured", json!({ "place": text }));
    structured["title"] = "Weather".into();
    structured["annotations"] = json!({ "readOnlyHint": true });
    structured["outputSchema"] = json!({
        "type": "object",
        "properties": { "place": text, "degrees": { "type": "number" } },
        "required": ["place", "degrees"],
    });
    tools.push(structured);
    if with_dynamic {
        tools.push(tool("test_dynamic_tool", json!({})));
    }
    tools
}

pub(super) async fn call(
    conversation: &Conversation,
    params: CallToolRequestParams,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let argument = |name: &str| params.arguments.as_ref().and_then(|all| all.get(name)?.as_str());
    let world = &conversation.world;
    let text = |text: &str| json!({ "content": [{ "type": "text", "text": text }] });
    let image = json!({ "type": "image", "data": content::PNG, "mimeType": "image/png" });
    let resource = json!({
        "type": "resource",
        "resource": { "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "Embedded." },
    });
    let said = match &*params.name {
        "test_simple_text" | "日本語" => text("This is a simple text response for testing."),
        "test_image_content" => json!({ "content": [image] }),
        "test_audio_content" => {
            json!({ "content": [{ "type": "audio", "data": "UklGRg==", "mimeType": "audio/wav" }] })
        }
        "test_embedded_resource" => json!({ "content": [resource] }),
        "test_resource_links" => json!({ "content": [
            { "type": "resource_link", "uri": "test://static-text", "name": "static-text", "mimeType": "text/plain" },
        ] }),
        "test_multiple_content_types" => {
            json!({ "content": [{ "type": "text", "text": "Several:" }, image, resource] })
        }
        "test_error_handling" => json!({ "content": [{ "type": "text", "text": "Always fails" }], "isError": true }),
        "test_structured" => {
            let weather = json!({ "place": argument("place").unwrap_or("nowhere"), "degrees": 21.5 });
            json!({ "content": [{ "type": "text", "text": weather.to_string() }], "structuredContent": weather })
        }
        "test_custom_header" => text(argument("region").unwrap_or("nowhere")),
        "test_tool_with_logging" => {
            let level = context.meta.log_level().or_else(|| conversation.told.level());
            log_thrice(&context, level).await;
            text("Logged three times")
        }
        "test_tool_with_progress" => {
            progress_thrice(&context).await;
            text("Reported progress three times")
        }
        "test_trigger_tool_change" => {
            world.change("tools");
            text("Changed")
        }
        "test_trigger_prompt_change" => {
            world.change("prompts");
            text("Changed")
        }
        "test_trigger_resource_change" => {
            world.change("resources");
            text("Changed")
        }
        "test_trigger_resource_update" => {
            world.change("test://watched-resource");
            text("Changed")
        }
        "test_elicitation" | "test_elicitation_url" | "test_sampling" | "test_input_required_result_list_roots" => {
            return ask(&params, &context).await;
        }
        other => return Err(ErrorData::invalid_params(format!("Unknown tool: {other}"), None)),
    };
    Ok(CallToolResponse::Complete(result(said)?))
}

/// Asks the client, in the way of its era, and says what it answered.
async fn ask(
    params: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let argument = |name: &str| params.arguments.as_ref().and_then(|all| all.get(name)?.as_str());
    let properties = json!({ "username": { "type": "string" }, "email": { "type": "string" } });
    let schema = json!({ "type": "object", "properties": properties, "required": ["username"] });
    let message = argument("message").unwrap_or("Please fill in the form");
    let prompt = argument("prompt").unwrap_or("Say something.");
    let user = json!([{ "role": "user", "content": { "type": "text", "text": prompt } }]);
    let (method, asked) = match &*params.name {
        "test_elicitation" => (
            "elicitation/create",
            json!({ "mode": "form", "message": message, "requestedSchema": schema }),
        ),
        "test_elicitation_url" => {
            let url = "https://example.com/connect";
            let id = "visit-1";
            (
                "elicitation/create",
                json!({ "mode": "url", "message": "Please sign in", "url": url, "elicitationId": id }),
            )
        }
        "test_sampling" => ("sampling/createMessage", json!({ "messages": user, "maxTokens": 100 })),
        _ => ("roots/list", json!({})),
    };
    let is_modern = context
        .protocol_version()
        .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
    let answer = match params
        .input_responses
        .as_ref()
        .and_then(|answers| answers.get("answer"))
    {
        Some(answer) => answer.clone(),
        None if is_modern => {
            let asked = json!({ "answer": { "method": method, "params": asked } });
            let asked: InputRequests = model(asked)?;
            return Ok(InputRequiredResult::new(Some(asked), Some("asked".to_owned())).into());
        }
        None if !can_answer(method, context) => {
            let cannot =
                json!({ "content": [{ "type": "text", "text": "The client cannot be asked" }], "isError": true });
            return Ok(CallToolResponse::Complete(result(cannot)?));
        }
        None => in_session(method, asked, context).await?,
    };
    let said = format!("The client said {answer}");
    Ok(CallToolResponse::Complete(result(
        json!({ "content": [{ "type": "text", "text": said }] }),
    )?))
}

fn can_answer(method: &str, context: &RequestContext<RoleServer>) -> bool {
    let capabilities = context.client_capabilities().unwrap_or_default();
    match method {
        "elicitation/create" => capabilities.elicitation.is_some(),
        "sampling/createMessage" => capabilities.sampling.is_some(),
        _ => capabilities.roots.is_some(),
    }
}

async fn in_session(method: &str, asked: Value, context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    let peer = &context.peer;
    match method {
        "elicitation/create" => answered(peer.create_elicitation(model(asked)?).await),
        "sampling/createMessage" => answered(peer.create_message(model(asked)?).await),
        _ => answered(peer.list_roots().await),
    }
}

fn answered(answer: Result<impl Serialize, ServiceError>) -> Result<Value, ErrorData> {
    match answer {
        Ok(answer) => Ok(json!(answer)),
        Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}

async fn log_thrice(context: &RequestContext<RoleServer>, level: Option<LoggingLevel>) {
    for said in ["started", "at work", "done"] {
        if level.is_some() {
            let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(said));
            let _ = context.peer.notify_logging_message(message).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn progress_thrice(context: &RequestContext<RoleServer>) {
    let Some(token) = context.meta.get_progress_token() else {
        return;
    };
    for progress in [0.0, 50.0, 100.0] {
        let event = ProgressNotificationParam::new(token.clone(), progress).with_total(100.0);
        let _ = context.peer.notify_progress(event).await;
        tokio::time::sleep(PAUSE).await;
    }
}
