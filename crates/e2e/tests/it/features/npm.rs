//! The steps at the npm package `server-everything`.

use serde_json::json;

use super::script::{Fails, Feature, Step};

const DOCUMENT: &str = "demo://resource/static/document/features.md";
const TEXT: &str = "demo://resource/dynamic/text/1";

pub(super) fn steps(feature: Feature) -> Vec<Step> {
    let none = || json!({});
    match feature {
        Feature::Ping => Vec::new(),
        Feature::Tools => vec![Step::list("tools")],
        Feature::Content => vec![
            Step::call("echo", json!({ "message": "Grüße, 世界" })),
            Step::call("get-tiny-image", none()),
            Step::call("get-structured-content", json!({ "location": "Chicago" })),
            Step::call(
                "get-annotated-message",
                json!({ "messageType": "error", "includeImage": true }),
            ),
            Step::call("get-resource-links", json!({ "count": 3 })),
            Step::call(
                "get-resource-reference",
                json!({ "resourceType": "Text", "resourceId": 2 }),
            ),
            Step::call("get-sum", json!({ "a": "two" })).fails(Fails::AsTool),
        ],
        Feature::Prompts => vec![
            Step::list("prompts"),
            Step::prompt("simple-prompt", none()),
            Step::prompt("args-prompt", json!({ "city": "Bergen", "state": "Vestland" })),
            Step::prompt("completable-prompt", json!({ "department": "Sales", "name": "Eve" })),
            Step::prompt("resource-prompt", json!({ "resourceType": "Text", "resourceId": "3" })),
            Step::prompt("args-prompt", none()).fails(Fails::AsRequest),
            Step::prompt("nothing", none()).fails(Fails::AsRequest),
        ],
        Feature::Resources => vec![
            Step::list("resources"),
            Step::list("templates"),
            Step::read(DOCUMENT),
            Step::read("demo://resource/dynamic/text/5"),
            Step::read("demo://resource/dynamic/blob/6"),
            Step::read("demo://nothing").fails(Fails::AsRequest),
        ],
        Feature::Completion => completion(),
        Feature::Progress => {
            vec![Step::call(
                "trigger-long-running-operation",
                json!({ "duration": 0.3, "steps": 3 }),
            )]
        }
        Feature::Logging => vec![
            Step::to("level", json!({ "level": "debug" })),
            // Messages of random levels, the first of them at once.
            Step::call("toggle-simulated-logging", none()).logs(1).random(),
            Step::call("toggle-simulated-logging", none()).random(),
        ],
        Feature::Forms => vec![Step::call("trigger-elicitation-request", none())],
        Feature::Pages => pages(),
        Feature::Sampling => vec![Step::call(
            "trigger-sampling-request",
            json!({ "prompt": "Where?", "maxTokens": 9 }),
        )],
        Feature::Roots => vec![Step::call("get-roots-list", none())],
        Feature::Changes => {
            let data = "data:text/plain;base64,aGVsbG8=";
            let zip = json!({ "name": "hi.gz", "data": data, "outputType": "resource" });
            vec![
                Step::to("watch", json!({ "uris": [] })),
                Step::to(
                    "stir",
                    json!({ "call": { "name": "gzip-file-as-resource", "arguments": zip }, "until": "resources", "tries": 4 }),
                ),
                Step::to("unwatch", none()),
            ]
        }
        Feature::Updates => vec![
            Step::to("watch", json!({ "uris": [TEXT] })),
            // Every other call tells of all subscribed resources at once.
            Step::to(
                "stir",
                json!({ "call": { "name": "toggle-subscriber-updates", "arguments": {} }, "until": TEXT, "tries": 4 }),
            ),
            Step::to("unwatch", none()),
        ],
    }
}

fn completion() -> Vec<Step> {
    let prompt = json!({ "type": "ref/prompt", "name": "completable-prompt" });
    let template = json!({ "type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}" });
    let known = json!({ "arguments": { "department": "Engineering" } });
    vec![
        Step::to(
            "complete",
            json!({ "ref": prompt, "argument": { "name": "department", "value": "S" } }),
        ),
        Step::to(
            "complete",
            json!({ "ref": prompt, "argument": { "name": "name", "value": "A" }, "context": known }),
        ),
        Step::to(
            "complete",
            json!({ "ref": template, "argument": { "name": "resourceId", "value": "12" } }),
        ),
    ]
}

fn pages() -> Vec<Step> {
    let visit =
        json!({ "url": "https://example.com/connect", "message": "Please sign in", "elicitationId": "visit-1" });
    vec![Step::call("trigger-url-elicitation", visit)]
}
