//! A server whose one tool `t` is done as a task, which goes on as the test says.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};

use super::script::{Act, Script, answer, modern};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A modern server with tasks.
pub(crate) struct Jobs {
    pub(crate) script: Script,
    plan: Arc<Mutex<Plan>>,
}

/// How its task goes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What `tasks/get` says, beside the id.
    pub(crate) task: Value,
    /// What it says once it was brought answers.
    pub(crate) after_update: Option<Value>,
    /// It was restarted, and knows no task.
    pub(crate) forgets: bool,
    /// So many questions about tasks are refused by a broken connection.
    pub(crate) broken: usize,
    /// How often the work was begun.
    pub(crate) executions: usize,
    /// How often a call was refused, because its client does not know tasks.
    pub(crate) refusals: usize,
    /// What it was brought.
    pub(crate) answers: Vec<Value>,
    /// When it was asked for its task.
    pub(crate) looks: Vec<tokio::time::Instant>,
}

impl Jobs {
    pub(crate) async fn start(task: Value) -> Self {
        let plan = Arc::new(Mutex::new(Plan {
            task,
            after_update: None,
            forgets: false,
            broken: 0,
            executions: 0,
            refusals: 0,
            answers: Vec::new(),
            looks: Vec::new(),
        }));
        let shared = plan.clone();
        let script = Script::start(move |asked| {
            modern(asked).unwrap_or_else(|| {
                let mut plan = shared.lock().expect("no panic");
                plan.act(asked.method(), &asked.body, |result| answer(asked, &result.to_string()))
            })
        });
        Self {
            script: script.await,
            plan,
        }
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("no panic")
    }

    pub(crate) fn url(&self) -> String {
        self.script.url()
    }

    pub(crate) fn looks(&self) -> usize {
        self.plan().looks.len()
    }

    pub(crate) fn cancels(&self) -> usize {
        self.script.asked_for("tasks/cancel")
    }
}

impl Plan {
    fn act(&mut self, method: &str, body: &Value, answer: impl Fn(&Value) -> Act) -> Act {
        let params = &body["params"];
        let knows = !params["_meta"][CAPABILITIES]["extensions"][TASKS].is_null();
        let refuse = |status, code: i64, data: Value| {
            let error = json!({"code": code, "message": "no", "data": data});
            let body = json!({"jsonrpc": "2.0", "id": body["id"], "error": error});
            Act::Answer(status, "application/json", body.to_string())
        };
        if !knows {
            self.refusals += 1;
            let data = json!({"requiredCapabilities": {"extensions": {TASKS: {}}}});
            return refuse(400, -32021, data);
        }
        if method == "tools/call" {
            self.executions += 1;
            let mut created = self.whole();
            for hidden in ["result", "error", "inputRequests"] {
                created.as_object_mut().expect("an object").remove(hidden);
            }
            created["resultType"] = "task".into();
            return answer(&created);
        }
        assert_eq!(params["taskId"], "their-task");
        if method == "tasks/get" {
            self.looks.push(tokio::time::Instant::now());
        }
        if self.broken > 0 {
            self.broken -= 1;
            return Act::RawThenClose(Vec::new());
        }
        if self.forgets {
            return refuse(200, -32602, Value::Null);
        }
        match method {
            "tasks/get" => answer(&self.whole()),
            "tasks/update" => {
                self.answers.push(params["inputResponses"].clone());
                if let Some(next) = self.after_update.take() {
                    self.task = next;
                }
                answer(&json!({"resultType": "complete"}))
            }
            "tasks/cancel" => {
                self.task = json!({"status": "cancelled"});
                answer(&json!({"resultType": "complete"}))
            }
            _ => refuse(404, -32601, Value::Null),
        }
    }

    fn whole(&self) -> Value {
        let mut task = json!({"resultType": "complete", "taskId": "their-task", "createdAt": "2026-07-28T00:00:00Z",
            "lastUpdatedAt": "2026-07-28T00:00:00Z", "ttlMs": 60_000, "pollIntervalMs": 100});
        for (member, value) in self.task.as_object().expect("an object") {
            task[member] = value.clone();
        }
        task
    }
}

/// A task at work.
pub(crate) fn working() -> Value {
    json!({"status": "working"})
}

/// One that is done, with this text.
pub(crate) fn done(text: &str) -> Value {
    let result = json!({"resultType": "complete", "content": [{"type": "text", "text": text}]});
    json!({"status": "completed", "result": result})
}

/// One that wants to know a name under each of these keys.
pub(crate) fn asks(keys: &[&str]) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let question = |key: &&str| {
        let params = json!({"message": key, "requestedSchema": schema});
        (
            (*key).to_owned(),
            json!({"method": "elicitation/create", "params": params}),
        )
    };
    let requests: serde_json::Map<String, Value> = keys.iter().map(question).collect();
    json!({"status": "input_required", "inputRequests": requests})
}

/// Longer than a task is left alone.
pub(crate) const A_WHILE: Duration = Duration::from_millis(400);
