//! Calls that become tasks for clients without tasks: the gateway polls the task until it ends.
//!
//! The replica with the client's stream polls. The requests of the task go to a legacy client on that stream. A modern
//! client gets an `input_required` result whose state names the task, so that any replica can continue.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_client::{InputRequired, TaskCreated};
use portolan_core::{Error, Failure, FailureKind, Result};
use portolan_wire::{
    method::Method,
    object::{self, RawObject},
};
use tokio::time::Instant;

use super::{
    Tasks,
    cancel_on_drop::CancelTaskOnDrop,
    poll_interval::PollInterval,
    progress::ProgressReporter,
    query::{TaskQueryError, TaskRef},
    state::{TaskState, TaskStatus},
};
use crate::{
    body::EventWriter,
    relay_request::RelayRequest,
    server_requests::{TaskContinuation, WaitGuard},
    task_ids,
};

/// The maximum length of the id of a polled task, which has to fit into a state.
const ID_BYTES: usize = 2048;

/// Polls one task until it ends.
struct TaskDriver<'a> {
    tasks: &'a Tasks,
    request: &'a RelayRequest,
    writer: &'a EventWriter,
    /// Receives the responses of a legacy client.
    guard: Option<&'a mut WaitGuard>,
    /// The id that a client would know, at a legacy server.
    client_id: Option<String>,
    task_ref: TaskRef,
    cancel_on_drop: CancelTaskOnDrop,
    poll_interval: PollInterval,
    deadline: Instant,
    /// The number of rounds of server requests so far.
    round: u64,
    answered: BTreeSet<String>,
    progress: ProgressReporter,
}

impl Tasks {
    /// Polls the task that a call became, and writes the client's response. `has_output` says whether something was
    /// written before.
    pub(crate) async fn poll(
        &self,
        request: &RelayRequest,
        created: TaskCreated,
        guard: Option<&mut WaitGuard>,
        has_output: bool,
        writer: &EventWriter,
    ) {
        let state = TaskState::read(created.task);
        let id = state.as_ref().and_then(TaskState::id).filter(|id| id.len() <= ID_BYTES);
        let after = self.config.timeouts.task;
        let driver = id.and_then(|id| self.driver(request, id, created.is_legacy, after, writer));
        let (Some(state), Some(mut driver)) = (state, driver) else {
            let error = request.protocol_error("it created a task without a valid id");
            return writer.event(&request.failure(&error)).await;
        };
        driver.guard = guard;
        if has_output {
            // Progress must increase, and its last value is not known here.
            driver.progress = ProgressReporter::default();
        }
        driver.begin(state).await;
    }

    /// Continues polling after a modern client came back with responses.
    pub(crate) async fn poll_again(
        &self,
        request: &RelayRequest,
        continuation: TaskContinuation,
        round: u64,
        writer: &EventWriter,
    ) {
        let now = self.clock.now().as_second();
        let after = Duration::from_secs(u64::try_from(continuation.deadline.saturating_sub(now)).unwrap_or(0));
        let Some(mut driver) = self.driver(request, continuation.id.into(), continuation.is_legacy, after, writer)
        else {
            let error = request.protocol_error("the task of this call is unknown");
            return writer.event(&request.failure(&error)).await;
        };
        driver.round = round;
        driver.answered = continuation.answered.into_iter().map(String::from).collect();
        driver.resume().await;
    }

    /// Returns the driver of a task; `None` if the task cannot be found.
    fn driver<'a>(
        &'a self,
        request: &'a RelayRequest,
        id: String,
        is_legacy: bool,
        after: Duration,
        writer: &'a EventWriter,
    ) -> Option<TaskDriver<'a>> {
        let mut task_ref = TaskRef {
            server: request.server.clone(),
            credential: request.credential.clone(),
            passthrough: request.passthrough.clone(),
            ids: None,
            legacy: None,
            id: id.clone(),
        };
        if is_legacy {
            let located = task_ids::find(&request.context, &self.keys, &id)?;
            let legacy = self.legacy_task(&request.context, &located, request.capabilities)?;
            task_ref.legacy = Some(Arc::new(legacy));
            task_ref.ids = Some(Arc::new(located.with_client_id(object::quote(&id))));
            task_ref.id = located.id;
        }
        Some(TaskDriver {
            tasks: self,
            request,
            client_id: is_legacy.then_some(id),
            writer,
            guard: None,
            cancel_on_drop: CancelTaskOnDrop::of(task_ref.clone()),
            task_ref,
            poll_interval: PollInterval::default(),
            deadline: Instant::now() + after,
            round: 0,
            answered: BTreeSet::new(),
            progress: ProgressReporter::of(request),
        })
    }
}

impl TaskDriver<'_> {
    /// Starts with the response that created the task.
    async fn begin(mut self, created: TaskState) {
        self.poll_interval.succeeded(created.interval);
        self.report(&created).await;
        let end = match created.status {
            TaskStatus::Working => self.wait_and_drive().await,
            // Only `tasks/get` returns its result and its requests.
            _ => self.drive().await,
        };
        self.write(end).await;
    }

    /// Starts with the client's responses.
    async fn resume(mut self) {
        let mut answers = RawObject::new();
        for (key, answer) in self.request.answers().iter().filter(|(_, raw)| raw.starts_with(b"{")) {
            answers.set(&key, answer.clone());
        }
        let end = match self.send_responses(&answers).await {
            Ok(Some(())) => self.drive().await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        self.write(end).await;
    }

    async fn write(&self, end: Result<Option<Bytes>>) {
        match end {
            Ok(Some(message)) => self.writer.event(&message).await,
            Err(error) => self.writer.event(&self.request.failure(&error)).await,
            // Cancelled: the stream ends without a message.
            Ok(None) => {}
        }
    }

    async fn wait_and_drive(&mut self) -> Result<Option<Bytes>> {
        match self.run(tokio::time::sleep(self.poll_interval.next())).await? {
            Some(()) => self.drive().await,
            None => Ok(None),
        }
    }

    /// Polls until the task ends. Returns the last message for the client; `None` if the call was cancelled.
    async fn drive(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(state) = self.read_state().await? else {
                return Ok(None);
            };
            self.report(&state).await;
            match (state.status, state.outcome()) {
                (_, Some(outcome)) => {
                    self.cancel_on_drop.disarm();
                    return Ok(Some(self.request.response_of(&outcome)));
                }
                (TaskStatus::Completed | TaskStatus::Failed, None) => {
                    self.cancel_on_drop.disarm();
                    return Err(self.task_ref.protocol_error("its task has ended without a result"));
                }
                (TaskStatus::Cancelled, _) => {
                    self.cancel_on_drop.disarm();
                    let failure = Failure::new(
                        FailureKind::Stopped,
                        "the task of this call was cancelled at the server",
                    );
                    return Err(self.task_ref.failed(failure));
                }
                (TaskStatus::InputRequired, _) => match self.ask(&state).await? {
                    Asking::Done => {}
                    Asking::Cancelled => return Ok(None),
                    Asking::Later(message) => return Ok(Some(message)),
                },
                (TaskStatus::Working, _) => {}
            }
            if self.run(tokio::time::sleep(self.poll_interval.next())).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Reads the state of the task; `None` if the call was cancelled.
    async fn read_state(&mut self) -> Result<Option<TaskState>> {
        let task_ref = self.task_ref.clone();
        let state = self.retry(|| task_ref.get()).await?;
        if let Some(state) = &state {
            self.poll_interval.succeeded(state.interval);
        }
        Ok(state)
    }

    /// Sends responses to the task; `None` if the call was cancelled.
    async fn send_responses(&mut self, answers: &RawObject) -> Result<Option<()>> {
        if answers.is_empty() {
            return Ok(Some(()));
        }
        let task_ref = self.task_ref.clone();
        // Keys are never reused in a task, so sending the same responses again changes nothing.
        let sent = self.retry(|| task_ref.update(answers)).await?;
        self.answered.extend(answers.iter().map(|(key, _)| key.into_owned()));
        Ok(sent)
    }

    /// Retries while the server is unreachable: a task outlives connections.
    async fn retry<T, F>(&mut self, ask: impl Fn() -> F) -> Result<Option<T>>
    where
        F: Future<Output = Result<T, TaskQueryError>>,
    {
        loop {
            match self.run(ask()).await? {
                None => return Ok(None),
                Some(Ok(value)) => return Ok(Some(value)),
                Some(Err(TaskQueryError::Permanent(error))) => return Err(error),
                Some(Err(TaskQueryError::Transient(error))) if !self.poll_interval.failed() => return Err(error),
                Some(Err(TaskQueryError::Transient(error))) => {
                    tracing::debug!(%error, "the state of a task cannot be read; retrying")
                }
            }
            if self.run(tokio::time::sleep(self.poll_interval.next())).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Sends the open requests of the task to the client.
    async fn ask(&mut self, state: &TaskState) -> Result<Asking> {
        let Some(server_requests) = state.server_requests(|key| self.answered.contains(key)) else {
            return Ok(Asking::Done);
        };
        let mut input = RawObject::new();
        input.set("inputRequests", server_requests.to_bytes());
        let requests = InputRequired::new(input)
            .requests()
            .map_err(|problem| self.task_ref.protocol_error(problem))?;
        let limit = self.tasks.config.limits.rounds;
        if self.round >= limit as u64 {
            let what = "server requests of one call";
            return Err(Error::Exhausted { what, limit });
        }
        let is_permitted = |(_, method, params): &(String, Method, Option<Bytes>)| {
            self.request.capabilities.permit(method, params.as_ref())
        };
        if !requests.iter().all(is_permitted) {
            let problem = "its task sent a request that this client has not declared support for";
            return Err(self.task_ref.protocol_error(problem));
        }
        self.round += 1;
        let Some(guard) = self.guard.as_deref_mut() else {
            return Ok(Asking::Later(self.ask_later(state, &server_requests)));
        };
        let round = usize::try_from(self.round).unwrap_or(usize::MAX);
        let asking = &self.tasks.server_requests;
        let answers = asking
            .ask_all(self.request, requests, round, guard, self.writer, self.deadline)
            .await?;
        match answers {
            None => Ok(Asking::Cancelled),
            Some(answers) => Ok(match self.send_responses(&answers).await? {
                Some(()) => Asking::Done,
                None => Asking::Cancelled,
            }),
        }
    }

    /// Returns the `input_required` message for a modern client. The task waits at its server.
    fn ask_later(&mut self, state: &TaskState, server_requests: &RawObject) -> Bytes {
        let seconds = self.deadline.saturating_duration_since(Instant::now()).as_secs();
        let still_open = state.server_requests(|key| !self.answered.contains(key));
        let continuation = TaskContinuation {
            id: self.client_id.as_deref().unwrap_or(&self.task_ref.id).into(),
            is_legacy: self.client_id.is_some(),
            deadline: self
                .tasks
                .clock
                .now()
                .as_second()
                .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX / 2)),
            answered: still_open
                .iter()
                .flat_map(|open| open.iter().map(|(key, _)| Box::from(&*key)))
                .collect(),
        };
        let message =
            self.tasks
                .server_requests
                .task_input_required(self.request, self.round, continuation, server_requests);
        self.cancel_on_drop.disarm();
        message
    }

    /// Sends the client the status message of the task as progress, if it changed.
    async fn report(&mut self, state: &TaskState) {
        if let Some(notification) = self.progress.of_state(state) {
            self.writer.event(&notification).await;
        }
    }

    /// Runs `work` until it is done (`Some`), the call is cancelled (`None`), or its time is up.
    async fn run<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>> {
        tokio::select! {
            biased;
            done = work => Ok(Some(done)),
            () = self.request.cancelled() => Ok(None),
            () = tokio::time::sleep_until(self.deadline) => {
                let after = self.tasks.config.timeouts.task;
                Err(Error::Timeout { action: "the task of this call".into(), after })
            }
        }
    }
}

/// The result of sending the requests of a task to the client.
enum Asking {
    /// The task has its responses.
    Done,
    /// The call was cancelled.
    Cancelled,
    /// The request ends with this message; the client comes back.
    Later(Bytes),
}
