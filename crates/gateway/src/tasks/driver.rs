//! Calls that become tasks for clients without tasks: the gateway polls the task until it is over.
//!
//! The work is in the replica that has the client's stream. A legacy client is asked on that stream what the task wants to
//! know. A modern one is answered `input_required` with a state that names the task, so that any replica goes on with it.

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

/// The longest id of a task that is driven: it has to fit into a state.
const ID_BYTES: usize = 2048;

/// A task on its way to its end.
struct TaskDriver<'a> {
    tasks: &'a Tasks,
    request: &'a RelayRequest,
    writer: &'a EventWriter,
    /// Where answers of a legacy client come in.
    guard: Option<&'a mut WaitGuard>,
    /// What a client would call the task of a legacy server.
    known: Option<String>,
    task_ref: TaskRef,
    cancel_on_drop: CancelTaskOnDrop,
    poll_interval: PollInterval,
    ends: Instant,
    /// How often the client was asked.
    round: u64,
    answered: BTreeSet<String>,
    progress: ProgressReporter,
}

impl Tasks {
    /// Polls the task that a call has become, and writes what the client gets. `heard` says whether something was written
    /// before.
    pub(crate) async fn poll(
        &self,
        request: &RelayRequest,
        created: TaskCreated,
        guard: Option<&mut WaitGuard>,
        heard: bool,
        writer: &EventWriter,
    ) {
        let state = TaskState::read(created.task);
        let id = state.as_ref().and_then(TaskState::id).filter(|id| id.len() <= ID_BYTES);
        let after = self.config.timeouts.task;
        let driver = id.and_then(|id| self.driver(request, id, created.is_legacy, after, writer));
        let (Some(state), Some(mut driver)) = (state, driver) else {
            let error = request.protocol_error("it makes a task of the call, and does not say which");
            return writer.event(&request.failure(&error)).await;
        };
        driver.guard = guard;
        if heard {
            // Progress goes up, and nobody knows here how far it is.
            driver.progress = ProgressReporter::default();
        }
        driver.begin(state).await;
    }

    /// Polls the task of a modern client that comes back with answers.
    pub(crate) async fn poll_again(
        &self,
        request: &RelayRequest,
        left: TaskContinuation,
        round: u64,
        writer: &EventWriter,
    ) {
        let now = self.clock.now().as_second();
        let after = Duration::from_secs(u64::try_from(left.ends.saturating_sub(now)).unwrap_or(0));
        let Some(mut driver) = self.driver(request, left.id.into(), left.is_legacy, after, writer) else {
            let error = request.protocol_error("the task of this call is unknown here");
            return writer.event(&request.failure(&error)).await;
        };
        driver.round = round;
        driver.answered = left.answered.into_iter().map(String::from).collect();
        driver.resume().await;
    }

    /// `None` of a task that cannot be found.
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
            let found = task_ids::find(&request.context, &self.keys, &id)?;
            let legacy = self.legacy_task(&request.context, &found, request.capabilities)?;
            task_ref.legacy = Some(Arc::new(legacy));
            task_ref.ids = Some(Arc::new(found.known(object::quote(&id))));
            task_ref.id = found.id;
        }
        Some(TaskDriver {
            tasks: self,
            request,
            known: is_legacy.then_some(id),
            writer,
            guard: None,
            cancel_on_drop: CancelTaskOnDrop::of(task_ref.clone()),
            task_ref,
            poll_interval: PollInterval::default(),
            ends: Instant::now() + after,
            round: 0,
            answered: BTreeSet::new(),
            progress: ProgressReporter::of(request),
        })
    }
}

impl TaskDriver<'_> {
    /// From the answer that made a task of the call.
    async fn begin(mut self, created: TaskState) {
        self.poll_interval.answered(created.interval);
        self.tell(&created).await;
        let end = match created.status {
            TaskStatus::Working => self.rest_of_it().await,
            // What it has come to, or wants to know, is told by `tasks/get` alone.
            _ => self.drive().await,
        };
        self.write(end).await;
    }

    /// From the client's answers.
    async fn resume(mut self) {
        let mut answers = RawObject::new();
        for (key, answer) in self.request.answers().iter().filter(|(_, raw)| raw.starts_with(b"{")) {
            answers.set(&key, answer.clone());
        }
        let end = match self.bring(&answers).await {
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
            // It was cancelled: a stream that ends is all.
            Ok(None) => {}
        }
    }

    async fn rest_of_it(&mut self) -> Result<Option<Bytes>> {
        match self.attend(tokio::time::sleep(self.poll_interval.next())).await? {
            Some(()) => self.drive().await,
            None => Ok(None),
        }
    }

    /// The message that ends the client's request; `None` if it was cancelled.
    async fn drive(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(state) = self.look().await? else {
                return Ok(None);
            };
            self.tell(&state).await;
            match (state.status, state.outcome()) {
                (_, Some(outcome)) => {
                    self.cancel_on_drop.over();
                    return Ok(Some(self.request.response_of(&outcome)));
                }
                (TaskStatus::Completed | TaskStatus::Failed, None) => {
                    self.cancel_on_drop.over();
                    return Err(self.task_ref.protocol_error("its task is over and has no answer"));
                }
                (TaskStatus::Cancelled, _) => {
                    self.cancel_on_drop.over();
                    let failure = Failure::new(FailureKind::Stopped, "the task of this call was cancelled there");
                    return Err(self.task_ref.failed(failure));
                }
                (TaskStatus::InputRequired, _) => match self.ask(&state).await? {
                    Asking::Done => {}
                    Asking::Cancelled => return Ok(None),
                    Asking::Later(message) => return Ok(Some(message)),
                },
                (TaskStatus::Working, _) => {}
            }
            if self
                .attend(tokio::time::sleep(self.poll_interval.next()))
                .await?
                .is_none()
            {
                return Ok(None);
            }
        }
    }

    /// How far the task is; `None` if the call was cancelled.
    async fn look(&mut self) -> Result<Option<TaskState>> {
        let task_ref = self.task_ref.clone();
        let state = self.insist(|| task_ref.get()).await?;
        if let Some(state) = &state {
            self.poll_interval.answered(state.interval);
        }
        Ok(state)
    }

    /// Brings the task what it wanted to know; `None` if the call was cancelled.
    async fn bring(&mut self, answers: &RawObject) -> Result<Option<()>> {
        if answers.is_empty() {
            return Ok(Some(()));
        }
        let task_ref = self.task_ref.clone();
        // Keys are never used twice in a task, so that to bring the same again changes nothing.
        let brought = self.insist(|| task_ref.update(answers)).await?;
        self.answered.extend(answers.iter().map(|(key, _)| key.into_owned()));
        Ok(brought)
    }

    /// Asks the server again while it cannot answer: a task outlives connections.
    async fn insist<T, F>(&mut self, ask: impl Fn() -> F) -> Result<Option<T>>
    where
        F: Future<Output = Result<T, TaskQueryError>>,
    {
        loop {
            match self.attend(ask()).await? {
                None => return Ok(None),
                Some(Ok(told)) => return Ok(Some(told)),
                Some(Err(TaskQueryError::Ever(error))) => return Err(error),
                Some(Err(TaskQueryError::Now(error))) if !self.poll_interval.failed() => return Err(error),
                Some(Err(TaskQueryError::Now(error))) => tracing::debug!(%error, "a task is asked for again"),
            }
            if self
                .attend(tokio::time::sleep(self.poll_interval.next()))
                .await?
                .is_none()
            {
                return Ok(None);
            }
        }
    }

    /// Asks the client what the task wants to know, unless it was answered.
    async fn ask(&mut self, state: &TaskState) -> Result<Asking> {
        let Some(server_requests) = state.server_requests(|key| self.answered.contains(key)) else {
            return Ok(Asking::Done);
        };
        let mut asked = RawObject::new();
        asked.set("inputRequests", server_requests.to_bytes());
        let requests = InputRequired::new(asked)
            .requests()
            .map_err(|problem| self.task_ref.protocol_error(problem))?;
        let limit = self.tasks.config.limits.rounds;
        if self.round >= limit as u64 {
            let what = "server requests of one call";
            return Err(Error::Exhausted { what, limit });
        }
        let may = |(_, method, params): &(String, Method, Option<Bytes>)| {
            self.request.capabilities.permit(method, params.as_ref())
        };
        if !requests.iter().all(may) {
            let problem = "its task asks what it was told that this client cannot answer";
            return Err(self.task_ref.protocol_error(problem));
        }
        self.round += 1;
        let Some(guard) = self.guard.as_deref_mut() else {
            return Ok(Asking::Later(self.ask_later(state, &server_requests)));
        };
        let round = usize::try_from(self.round).unwrap_or(usize::MAX);
        let asking = &self.tasks.server_requests;
        let answers = asking
            .ask_all(self.request, requests, round, guard, self.writer, self.ends)
            .await?;
        match answers {
            None => Ok(Asking::Cancelled),
            Some(answers) => Ok(match self.bring(&answers).await? {
                Some(()) => Asking::Done,
                None => Asking::Cancelled,
            }),
        }
    }

    /// A modern client is asked at the end of its request. The task waits for it where it is.
    fn ask_later(&mut self, state: &TaskState, server_requests: &RawObject) -> Bytes {
        let left = self.ends.saturating_duration_since(Instant::now()).as_secs();
        let still_open = state.server_requests(|key| !self.answered.contains(key));
        let left = TaskContinuation {
            id: self.known.as_deref().unwrap_or(&self.task_ref.id).into(),
            is_legacy: self.known.is_some(),
            ends: self
                .tasks
                .clock
                .now()
                .as_second()
                .saturating_add(i64::try_from(left).unwrap_or(i64::MAX / 2)),
            answered: still_open
                .iter()
                .flat_map(|open| open.iter().map(|(key, _)| Box::from(&*key)))
                .collect(),
        };
        let message = self
            .tasks
            .server_requests
            .task_input_required(self.request, self.round, left, server_requests);
        self.cancel_on_drop.over();
        message
    }

    /// Tells the client what the server says of the task, if that is news.
    async fn tell(&mut self, state: &TaskState) {
        if let Some(told) = self.progress.of_state(state) {
            self.writer.event(&told).await;
        }
    }

    /// Does `work` until it is done (`Some`), the call is cancelled (`None`), or its time is over.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>> {
        tokio::select! {
            biased;
            done = work => Ok(Some(done)),
            () = self.request.cancelled() => Ok(None),
            () = tokio::time::sleep_until(self.ends) => {
                let after = self.tasks.config.timeouts.task;
                Err(Error::Timeout { action: "the end of the task of this call".into(), after })
            }
        }
    }
}

/// What comes of asking the client.
enum Asking {
    /// The task has its answers.
    Done,
    /// The call was cancelled.
    Cancelled,
    /// This is what the client is told; it comes back.
    Later(Bytes),
}
