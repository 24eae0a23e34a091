//! Scripts of the clients.

use serde_json::{Value, json};

use super::{fixture, npm};
use crate::client::Era;
use crate::host::Host;

/// A feature that a server has for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Feature {
    Ping,
    Tools,
    /// Each kind of content that a tool can return.
    Content,
    Prompts,
    Resources,
    Completion,
    Progress,
    Logging,
    /// Elicitation by a form.
    Forms,
    /// Elicitation by a URL.
    Pages,
    Sampling,
    Roots,
    /// That a list has changed, and how it is then.
    Changes,
    /// That a resource has changed.
    Updates,
}

/// In the order in which they are done: what changes the lists comes last.
pub(super) const ALL: [Feature; 14] = [
    Feature::Ping,
    Feature::Tools,
    Feature::Content,
    Feature::Prompts,
    Feature::Resources,
    Feature::Completion,
    Feature::Progress,
    Feature::Logging,
    Feature::Forms,
    Feature::Pages,
    Feature::Sampling,
    Feature::Roots,
    Feature::Changes,
    Feature::Updates,
];

/// One thing to do, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) operation: Value,
    pub(super) fails: Fails,
    /// Whether what the server says by itself differs from one run to the next.
    pub(super) is_random: bool,
    /// Whether the server says and asks things at any time that have nothing to do with this.
    pub(super) has_strays: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fails {
    No,
    /// With a result that says so.
    AsTool,
    /// With an error.
    AsRequest,
}

impl Step {
    pub(super) fn to(kind: &str, mut operation: Value) -> Self {
        operation["do"] = kind.into();
        Self {
            operation,
            fails: Fails::No,
            is_random: false,
            has_strays: false,
        }
    }

    pub(super) fn list(what: &str) -> Self {
        Self::to("list", json!({ "what": what }))
    }

    pub(super) fn call(name: &str, arguments: Value) -> Self {
        Self::to("call", json!({ "name": name, "arguments": arguments }))
    }

    pub(super) fn prompt(name: &str, arguments: Value) -> Self {
        Self::to("prompt", json!({ "name": name, "arguments": arguments }))
    }

    pub(super) fn read(uri: &str) -> Self {
        Self::to("read", json!({ "uri": uri }))
    }

    /// Waits for this many log messages.
    pub(super) fn logs(mut self, count: usize) -> Self {
        self.operation["logs"] = count.into();
        self
    }

    pub(super) fn fails(mut self, how: Fails) -> Self {
        self.fails = how;
        self
    }

    pub(super) fn random(mut self) -> Self {
        self.is_random = true;
        self
    }
}

/// What is done for a feature, by a client that speaks this era.
pub(super) fn steps(feature: Feature, host: Host, era: Era) -> Vec<Step> {
    let mut steps = match host {
        // The modern era has none.
        _ if feature == Feature::Ping => match era {
            Era::Legacy => vec![Step::to("ping", json!({}))],
            Era::Modern | Era::Auto => Vec::new(),
        },
        Host::FixtureLegacy | Host::FixtureModern | Host::Rmcp => fixture::steps(feature, host),
        Host::NpmHttp | Host::NpmStdio => npm::steps(feature),
    };
    let has_strays = matches!(host, Host::NpmHttp | Host::NpmStdio);
    steps.iter_mut().for_each(|step| step.has_strays = has_strays);
    steps
}

/// What the clients answer to questions.
pub(super) fn answers() -> Value {
    let accept = |content: Value| json!({ "action": "accept", "content": content });
    json!({
        "elicit": {
            "What is your name?": accept(json!({ "name": "Ada" })),
            "Step 1: What is your name?": accept(json!({ "name": "Ada" })),
            "Step 2: What is your favorite color?": accept(json!({ "color": "blue" })),
            "Please check these values": accept(json!({
                "name": "Jane", "age": 31, "score": 1.5, "status": "inactive", "verified": false,
            })),
            "Please choose": accept(json!({
                "untitledSingle": "option2", "titledSingle": "value1", "legacyEnum": "opt3",
                "untitledMulti": ["option1", "option3"], "titledMulti": ["value2"],
            })),
            "Please answer": accept(json!({ "answer": "yes" })),
            "What context should the prompt use?": accept(json!({ "context": "charts" })),
            "Please fill in the form": accept(json!({ "username": "ada", "email": "ada@example.org" })),
            "Please decline": { "action": "decline" },
            "Please cancel": { "action": "cancel" },
            "Please provide inputs for the following fields:": accept(json!({
                "name": "Ada", "check": true, "email": "ada@example.org", "homepage": "https://example.org",
                "birthdate": "1815-12-10", "integer": 7, "number": 2.5, "untitledSingleSelectEnum": "Ross",
                "untitledMultipleSelectEnum": ["Piano"], "titledSingleSelectEnum": "hero-2",
                "titledMultipleSelectEnum": ["fish-3"], "legacyTitledEnum": "pet-2",
            })),
            // What shows a page has no content.
            "*": { "action": "accept" },
        },
        "sample": {
            "role": "assistant", "content": { "type": "text", "text": "Paris" }, "model": "none", "stopReason": "endTurn",
        },
        "roots": [{ "uri": "file:///charts", "name": "charts" }],
    })
}
