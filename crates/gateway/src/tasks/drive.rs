//! Calls that become tasks for clients that know none: the gateway asks for the task until it is over.
//!
//! The work is in the replica that has the client's stream. A legacy client is asked on that stream what the task wants to
//! know. A modern one is answered `input_required` with a state that names the task, so that any replica goes on with it.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{Error, Failure, FailureKind, Result};
use portolan_wire::{
    method::Method,
    object::{self, RawObject},
};
use tokio::time::Instant;

use super::{
    find,
    inquiry::{Place, Untold},
    mapped::Mapped,
    news::News,
    pace::Pace,
    state::{State, Status},
    ward::Ward,
};
use crate::{
    question::{Origin, Pen, Talk, Ticket, ask_all, cancelled},
    upstream::{Asked, Created, Reply},
};

/// The longest id of a task that is driven: it has to fit into a state.
const ID_BYTES: usize = 2048;

/// A task whose client was asked something, as its `requestState` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// The server's id of it; at a legacy server, as a client would know it.
    pub(crate) id: Box<str>,
    /// Whether it is at a legacy server.
    pub(crate) is_legacy: bool,
    /// Until when the call may take, in seconds.
    pub(crate) ends: i64,
    /// What was answered, and was still asked for when it was looked at last.
    pub(crate) answered: Vec<Box<str>>,
}

/// A task on its way to its end.
struct Drive<'a> {
    origin: &'a Origin,
    pen: &'a Pen,
    /// Where answers of a legacy client come in.
    ticket: Option<&'a mut Ticket>,
    /// What a client would call the task of a legacy server.
    known: Option<String>,
    place: Place,
    ward: Ward,
    pace: Pace,
    ends: Instant,
    /// How often the client was asked.
    round: u64,
    answered: BTreeSet<String>,
    news: News,
}

/// Drives the task that a call has become, and writes what comes of it. `heard` says whether something was written before.
pub(crate) async fn drive(origin: &Origin, created: Created, ticket: Option<&mut Ticket>, heard: bool, pen: &Pen) {
    let state = State::read(created.task);
    let id = state.as_ref().and_then(State::id).filter(|id| id.len() <= ID_BYTES);
    let after = origin.timeouts().task;
    let drive = id.and_then(|id| Drive::of(origin, id, created.is_legacy, after, pen));
    let (Some(state), Some(mut drive)) = (state, drive) else {
        let error = origin.odd("it makes a task of the call, and does not say which");
        return pen.event(&origin.failure(&error)).await;
    };
    drive.ticket = ticket;
    if heard {
        // Progress goes up, and nobody knows here how far it is.
        drive.news = News::default();
    }
    drive.begin(state).await;
}

/// Goes on with the task of a modern client that comes back with answers.
pub(crate) fn go_on(origin: Origin, left: Left, round: u64) -> Reply {
    Reply::Stream(Talk::begin(|pen| async move {
        let after = u64::try_from(left.ends.saturating_sub(origin.now())).unwrap_or(0);
        let Some(mut drive) = Drive::of(
            &origin,
            left.id.into(),
            left.is_legacy,
            Duration::from_secs(after),
            &pen,
        ) else {
            let error = origin.odd("the task of this call is unknown here");
            return pen.event(&origin.failure(&error)).await;
        };
        drive.round = round;
        drive.answered = left.answered.into_iter().map(String::from).collect();
        drive.resume().await;
    }))
}

impl<'a> Drive<'a> {
    /// `None` of a task that cannot be found.
    fn of(origin: &'a Origin, id: String, is_legacy: bool, after: Duration, pen: &'a Pen) -> Option<Self> {
        let mut place = Place {
            link: origin.link.clone(),
            credential: origin.credential.clone(),
            passthrough: origin.passthrough(),
            known: None,
            mapped: None,
            id: id.clone(),
        };
        if is_legacy {
            let found = find(&origin.visit, &origin.inner.keys, &id)?;
            let mapped = Mapped::of(&origin.inner, &origin.visit, &found, origin.asks)?;
            place.mapped = Some(Arc::new(mapped));
            place.known = Some(found.known(object::quote(&id)));
            place.id = found.id;
        }
        Some(Self {
            origin,
            known: is_legacy.then_some(id),
            pen,
            ticket: None,
            ward: Ward::of(place.clone()),
            place,
            pace: Pace::default(),
            ends: Instant::now() + after,
            round: 0,
            answered: BTreeSet::new(),
            news: News::of(origin),
        })
    }

    /// From the answer that made a task of the call.
    async fn begin(mut self, created: State) {
        self.pace.answered(created.interval);
        self.tell(&created).await;
        let end = match created.status {
            Status::Working => self.rest_of_it().await,
            // What it has come to, or wants to know, is told by `tasks/get` alone.
            _ => self.drive().await,
        };
        self.write(end).await;
    }

    /// From the client's answers.
    async fn resume(mut self) {
        let mut answers = RawObject::new();
        for (key, answer) in self.origin.answers().iter().filter(|(_, raw)| raw.starts_with(b"{")) {
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
            Ok(Some(message)) => self.pen.event(&message).await,
            Err(error) => self.pen.event(&self.origin.failure(&error)).await,
            // It was cancelled: a stream that ends is all.
            Ok(None) => {}
        }
    }

    async fn rest_of_it(&mut self) -> Result<Option<Bytes>> {
        match self.attend(tokio::time::sleep(self.pace.next())).await? {
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
                    self.ward.over();
                    return Ok(Some(self.origin.told(&outcome)));
                }
                (Status::Completed | Status::Failed, None) => {
                    self.ward.over();
                    return Err(self.place.odd("its task is over and has no answer"));
                }
                (Status::Cancelled, _) => {
                    self.ward.over();
                    let failure = Failure::new(FailureKind::Stopped, "the task of this call was cancelled there");
                    return Err(self.place.failed(failure));
                }
                (Status::InputRequired, _) => match self.ask(&state).await? {
                    Asking::Done => {}
                    Asking::Cancelled => return Ok(None),
                    Asking::Later(message) => return Ok(Some(message)),
                },
                (Status::Working, _) => {}
            }
            if self.attend(tokio::time::sleep(self.pace.next())).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// How far the task is; `None` if the call was cancelled.
    async fn look(&mut self) -> Result<Option<State>> {
        let place = self.place.clone();
        let state = self.insist(|| place.get()).await?;
        if let Some(state) = &state {
            self.pace.answered(state.interval);
        }
        Ok(state)
    }

    /// Brings the task what it wanted to know; `None` if the call was cancelled.
    async fn bring(&mut self, answers: &RawObject) -> Result<Option<()>> {
        if answers.is_empty() {
            return Ok(Some(()));
        }
        let place = self.place.clone();
        // Keys are never used twice in a task, so that to bring the same again changes nothing.
        let brought = self.insist(|| place.update(answers)).await?;
        self.answered.extend(answers.iter().map(|(key, _)| key.into_owned()));
        Ok(brought)
    }

    /// Asks the server again while it cannot answer: a task outlives connections.
    async fn insist<T, F>(&mut self, ask: impl Fn() -> F) -> Result<Option<T>>
    where
        F: Future<Output = Result<T, Untold>>,
    {
        loop {
            match self.attend(ask()).await? {
                None => return Ok(None),
                Some(Ok(told)) => return Ok(Some(told)),
                Some(Err(Untold::Ever(error))) => return Err(error),
                Some(Err(Untold::Now(error))) if !self.pace.failed() => return Err(error),
                Some(Err(Untold::Now(error))) => tracing::debug!(%error, "a task is asked for again"),
            }
            if self.attend(tokio::time::sleep(self.pace.next())).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Asks the client what the task wants to know, unless it was answered.
    async fn ask(&mut self, state: &State) -> Result<Asking> {
        let Some(questions) = state.questions(|key| self.answered.contains(key)) else {
            return Ok(Asking::Done);
        };
        let mut asked = RawObject::new();
        asked.set("inputRequests", questions.to_bytes());
        let requests = Asked::new(asked)
            .requests()
            .map_err(|problem| self.place.odd(problem))?;
        let limit = self.origin.rounds();
        if self.round >= limit as u64 {
            let what = "questions of one call";
            return Err(Error::Exhausted { what, limit });
        }
        let may =
            |(_, method, params): &(String, Method, Option<Bytes>)| self.origin.asks.permit(method, params.as_ref());
        if !requests.iter().all(may) {
            let problem = "its task asks what it was told that this client cannot answer";
            return Err(self.place.odd(problem));
        }
        self.round += 1;
        let Some(ticket) = self.ticket.as_deref_mut() else {
            return Ok(Asking::Later(self.ask_later(state, &questions)));
        };
        let round = usize::try_from(self.round).unwrap_or(usize::MAX);
        let answers = ask_all(self.origin, requests, round, ticket, self.pen, self.ends).await?;
        match answers {
            None => Ok(Asking::Cancelled),
            Some(answers) => Ok(match self.bring(&answers).await? {
                Some(()) => Asking::Done,
                None => Asking::Cancelled,
            }),
        }
    }

    /// A modern client is asked at the end of its request. The task waits for it where it is.
    fn ask_later(&mut self, state: &State, questions: &RawObject) -> Bytes {
        let left = self.ends.saturating_duration_since(Instant::now()).as_secs();
        let still_open = state.questions(|key| !self.answered.contains(key));
        let left = Left {
            id: self.known.as_deref().unwrap_or(&self.place.id).into(),
            is_legacy: self.known.is_some(),
            ends: self
                .origin
                .now()
                .saturating_add(i64::try_from(left).unwrap_or(i64::MAX / 2)),
            answered: still_open
                .iter()
                .flat_map(|open| open.iter().map(|(key, _)| Box::from(&*key)))
                .collect(),
        };
        let message = self.origin.asks_for_task(self.round, left, questions);
        self.ward.over();
        message
    }

    /// Tells the client what the server says of the task, if that is news.
    async fn tell(&mut self, state: &State) {
        if let Some(told) = self.news.of_state(state) {
            self.pen.event(&told).await;
        }
    }

    /// Does `work` until it is done (`Some`), the call is cancelled (`None`), or its time is over.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>> {
        tokio::select! {
            biased;
            done = work => Ok(Some(done)),
            () = cancelled(self.origin) => Ok(None),
            () = tokio::time::sleep_until(self.ends) => {
                let after = self.origin.timeouts().task;
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
