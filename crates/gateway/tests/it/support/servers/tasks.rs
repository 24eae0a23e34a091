//! A modern server whose one tool `t` is a task, which goes on as the test says.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use portolan_fixtures::scripted::{Reply, Request, ScriptedServer, modern};
use serde_json::{Map, Value, json};

use super::scripted;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The longest time between two polls of a task.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(400);

/// A modern server with tasks.
pub(crate) struct TaskServer {
    server: ScriptedServer,
    plan: Arc<Mutex<TaskPlan>>,
}

/// How its task goes.
#[derive(Debug, Default)]
pub(crate) struct TaskPlan {
    /// What `tasks/get` says, besides the id.
    pub(crate) task: Value,
    /// What it says after the next `tasks/update`.
    pub(crate) after_update: Option<Value>,
    /// Whether it was restarted, and knows no task.
    pub(crate) forgotten: bool,
    /// How many of the next requests about tasks find a broken connection.
    pub(crate) broken: usize,
    /// How often the work was begun.
    pub(crate) executions: usize,
    /// How many calls were refused because their client knows no tasks.
    pub(crate) refusals: usize,
    /// The responses that it was given.
    pub(crate) responses: Vec<Value>,
    /// The times at which it was asked for its task.
    pub(crate) polls: Vec<tokio::time::Instant>,
}

impl TaskServer {
    pub(crate) async fn start(task: Value) -> Self {
        let plan = Arc::new(Mutex::new(TaskPlan {
            task,
            ..TaskPlan::default()
        }));
        let shared = plan.clone();
        let server =
            scripted(move |request| modern(request).unwrap_or_else(|| shared.lock().expect("no panic").serve(request)))
                .await;
        Self { server, plan }
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, TaskPlan> {
        self.plan.lock().expect("no panic")
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// How often it was asked for its task.
    pub(crate) fn polls(&self) -> usize {
        self.plan().polls.len()
    }

    /// How often its task was cancelled.
    pub(crate) fn cancelled(&self) -> usize {
        self.server.count_of("tasks/cancel")
    }
}

impl TaskPlan {
    fn serve(&mut self, request: &Request) -> Reply {
        let params = request.params();
        if params["_meta"][CAPABILITIES]["extensions"][TASKS].is_null() {
            self.refusals += 1;
            let data = json!({"requiredCapabilities": {"extensions": {TASKS: {}}}});
            let error = json!({"code": -32021, "message": "no", "data": data});
            return Reply::error_with(request, error).with_status(400);
        }
        if request.method() == "tools/call" {
            self.executions += 1;
            let mut created = self.whole();
            for hidden in ["result", "error", "inputRequests"] {
                created.as_object_mut().expect("an object").remove(hidden);
            }
            created["resultType"] = "task".into();
            return Reply::result(request, created);
        }
        assert_eq!(params["taskId"], "their-task");
        if request.method() == "tasks/get" {
            self.polls.push(tokio::time::Instant::now());
        }
        if self.broken > 0 {
            self.broken -= 1;
            return Reply::close();
        }
        if self.forgotten {
            return Reply::error(request, -32602, "no");
        }
        match request.method() {
            "tasks/get" => return Reply::result(request, self.whole()),
            "tasks/update" => {
                self.responses.push(params["inputResponses"].clone());
                if let Some(next) = self.after_update.take() {
                    self.task = next;
                }
            }
            "tasks/cancel" => self.task = json!({"status": "cancelled"}),
            _ => return Reply::error(request, -32601, "no").with_status(404),
        }
        Reply::result(request, json!({"resultType": "complete"}))
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

/// A task that is completed, with this text.
pub(crate) fn completed(text: &str) -> Value {
    let result = json!({"resultType": "complete", "content": [{"type": "text", "text": text}]});
    json!({"status": "completed", "result": result})
}

/// A task that requires a name under each of these keys.
pub(crate) fn input_required(keys: &[&str]) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let request = |key: &&str| {
        let params = json!({"message": key, "requestedSchema": schema});
        let request = json!({"method": "elicitation/create", "params": params});
        ((*key).to_owned(), request)
    };
    let requests: Map<String, Value> = keys.iter().map(request).collect();
    json!({"status": "input_required", "inputRequests": requests})
}
