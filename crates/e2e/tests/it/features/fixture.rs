//! The steps at our fixture, and at the server of `rmcp` that has the same names.

use serde_json::{Value, json};

use super::script::{Fails, Feature, Step};
use crate::host::Host;

const WATCHED: &str = "test://watched-resource";

pub(super) fn steps(feature: Feature, host: Host) -> Vec<Step> {
    let is_fixture = host != Host::Rmcp;
    let none = || json!({});
    match feature {
        Feature::Ping => Vec::new(),
        Feature::Tools => vec![Step::list("tools")],
        Feature::Content => content(is_fixture),
        Feature::Prompts => vec![
            Step::list("prompts"),
            Step::prompt("test_simple_prompt", none()),
            Step::prompt("test_prompt_with_arguments", json!({ "arg1": "Grüße", "arg2": "世界" })),
            Step::prompt(
                "test_prompt_with_embedded_resource",
                json!({ "resourceUri": "test://x" }),
            ),
            Step::prompt("test_prompt_with_image", none()),
            Step::prompt("nothing", none()).fails(Fails::AsRequest),
        ],
        Feature::Resources => vec![
            Step::list("resources"),
            Step::list("templates"),
            Step::read("test://static-text"),
            Step::read("test://static-binary"),
            Step::read("test://template/7/data"),
            Step::read("test://nothing").fails(Fails::AsRequest),
        ],
        Feature::Completion => completion(),
        Feature::Progress => vec![Step::call("test_tool_with_progress", none())],
        Feature::Logging => vec![
            Step::to("level", json!({ "level": "info" })),
            Step::call("test_tool_with_logging", none()).logs(3),
        ],
        Feature::Forms => forms(is_fixture),
        Feature::Pages => vec![Step::call("test_elicitation_url", none())],
        Feature::Sampling => vec![Step::call(
            "test_sampling",
            json!({ "prompt": "The capital of France?" }),
        )],
        Feature::Roots => vec![Step::call("test_input_required_result_list_roots", none())],
        Feature::Changes => vec![
            Step::to("watch", json!({ "uris": [WATCHED] })),
            stir(
                "test_trigger_tool_change",
                "tools",
                json!({ "what": "tools", "name": "test_dynamic_tool" }),
            ),
            stir(
                "test_trigger_prompt_change",
                "prompts",
                json!({ "what": "prompts", "name": "test_dynamic_prompt" }),
            ),
            stir(
                "test_trigger_resource_change",
                "resources",
                json!({ "what": "resources", "name": "dynamic-resource" }),
            ),
            Step::to("unwatch", none()),
        ],
        Feature::Updates => vec![
            Step::to("watch", json!({ "uris": [WATCHED] })),
            stir("test_trigger_resource_update", WATCHED, Value::Null),
            Step::to("unwatch", none()),
        ],
    }
}

fn content(is_fixture: bool) -> Vec<Step> {
    let call = |name: &str| Step::call(name, json!({}));
    let mut steps = vec![
        call("test_simple_text"),
        call("test_image_content"),
        call("test_audio_content"),
        call("test_embedded_resource"),
        call("test_multiple_content_types"),
        call("test_error_handling").fails(Fails::AsTool),
        Step::call("test_custom_header", json!({ "region": "Zürich" })),
        call("nothing").fails(Fails::AsRequest),
    ];
    if !is_fixture {
        steps.push(Step::call("test_structured", json!({ "place": "Bergen" })));
        steps.push(call("test_resource_links"));
        steps.push(call("日本語"));
    }
    steps
}

fn completion() -> Vec<Step> {
    let prompt = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let template = json!({ "type": "ref/resource", "uri": "test://template/{id}/data" });
    let known = json!({ "arguments": { "first": "one" } });
    vec![
        Step::to(
            "complete",
            json!({ "ref": prompt, "argument": { "name": "arg1", "value": "par" } }),
        ),
        Step::to(
            "complete",
            json!({ "ref": template, "argument": { "name": "id", "value": "t" } }),
        ),
        Step::to(
            "complete",
            json!({ "ref": prompt, "argument": { "name": "arg2", "value": "" }, "context": known }),
        ),
    ]
}

fn forms(is_fixture: bool) -> Vec<Step> {
    let ask = |message: &str| Step::call("test_elicitation", json!({ "message": message }));
    let mut steps = vec![
        ask("Please fill in the form"),
        ask("Please decline"),
        ask("Please cancel"),
    ];
    if is_fixture {
        let more = [
            "test_elicitation_sep1034_defaults",
            "test_elicitation_sep1330_enums",
            "test_input_required_result_multi_round",
            "test_input_required_result_multiple_inputs",
        ];
        steps.extend(more.map(|name| Step::call(name, json!({}))));
        steps.push(Step::prompt("test_input_required_result_prompt", json!({})));
    }
    steps
}

fn stir(tool: &str, until: &str, shows: Value) -> Step {
    let mut operation = json!({ "call": { "name": tool, "arguments": {} }, "until": until });
    if shows.is_object() {
        operation["shows"] = shows;
    }
    Step::to("stir", operation)
}
