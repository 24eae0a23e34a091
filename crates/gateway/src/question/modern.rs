//! Questions to modern clients: as `input_required` results, which end the request. The client comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::Method as Verb;
use portolan_core::{Error, Failure, FailureKind, Result, RpcResponse};
use portolan_wire::{
    envelope,
    error::ErrorObject,
    id::RequestId,
    meta,
    object::{self, RawObject},
    sse,
};
use tokio::time::Instant;

use super::{
    origin::Origin,
    suspended::Parked,
    talk::{Pen, Talk},
    token::{Detached, Open, Place, Rest, State},
};
use crate::{
    seal::Purpose,
    service::Inner,
    table::Mounted,
    tasks,
    upstream::{
        Asked, Created, Heir, INPUT_REQUIRED, Left, MOST, Outgoing, Question, QuestionKey, Reply, Step, modern_params,
        request, response, retell,
    },
    visit::Visit,
};

/// Bytes of questions that a state carries.
const CARRIED: usize = 32 * 1024;

/// A call of a legacy server, as a stream for a modern client: to its answer, or to its first questions.
pub(super) fn listen(origin: Origin, parked: Parked) -> Reply {
    Reply::Stream(Talk::begin(|pen| talk(origin, parked, pen)))
}

async fn talk(origin: Origin, mut parked: Parked, pen: Pen) {
    loop {
        for piece in parked.heard.drain(..) {
            pen.piece(piece).await;
        }
        if parked.over {
            return;
        }
        if !parked.questions.is_empty() && !gather(&origin, &mut parked, &pen).await {
            return;
        }
        if !parked.questions.is_empty() {
            match origin.suspend(parked) {
                Ok(message) => return pen.event(&message).await,
                Err(back) => parked = *back,
            }
        }
        match parked.events.step().await {
            Some(Ok(Step::Frame(piece))) => pen.piece(piece).await,
            Some(Ok(Step::Question(question))) => parked.put(question),
            Some(Ok(Step::Asks(asked))) => {
                let message = origin.wrap(asked, 1).unwrap_or_else(|error| origin.failure(&error));
                return pen.event(&message).await;
            }
            Some(Ok(Step::Task(task))) => return tasks::drive(&origin, task, None, true, &pen).await,
            Some(Err(fault)) => return pen.fail(fault).await,
            None => return,
        }
    }
}

/// A call that has become a task, as a stream for a modern client that knows none.
pub(super) fn await_task(origin: Origin, task: Created) -> Reply {
    Reply::Stream(Talk::begin(|pen| async move {
        tasks::drive(&origin, task, None, false, &pen).await;
    }))
}

/// Waits a little for further questions. Whether the call is still open then.
async fn gather(origin: &Origin, parked: &mut Parked, pen: &Pen) -> bool {
    let end = Instant::now() + origin.inner.config.timeouts.gather;
    while parked.questions.len() < MOST {
        match tokio::time::timeout_at(end, parked.events.step()).await {
            Err(_) => break,
            Ok(Some(Ok(Step::Frame(piece)))) => pen.piece(piece).await,
            Ok(Some(Ok(Step::Question(question)))) => parked.put(question),
            Ok(_) => return false,
        }
    }
    true
}

/// Leaves a call at a server whose stream can be taken up again, unless its questions are too large to be carried around.
fn leave(parked: &mut Parked, requests: &RawObject) -> Option<Detached> {
    if !parked.heard.is_empty() || requests.to_bytes().len() > CARRIED {
        return None;
    }
    let left = parked.events.leave()?;
    let open = |(key, question): &(String, Question)| {
        let QuestionKey::Id(id) = &question.key else {
            return None;
        };
        Some(Open {
            key: key.as_str().into(),
            id: id.as_raw().into(),
            request: requests.get(key)?.as_ref().into(),
        })
    };
    Some(Detached {
        seat: left.seat,
        call: left.call.as_raw().into(),
        event: std::str::from_utf8(&left.event).ok()?.into(),
        named: parked.named(),
        questions: parked.questions.iter().filter_map(open).collect(),
    })
}

/// A request of a modern client that brings a `requestState` back.
pub(crate) async fn bring(
    inner: &Arc<Inner>,
    visit: &Arc<Visit>,
    mounted: &Mounted,
    outgoing: &Outgoing<'_>,
    text: &Bytes,
) -> Result<Reply> {
    let origin = Origin::of(inner, visit, mounted, outgoing);
    let Some(state) = origin.open_state() else {
        let error = ErrorObject::invalid_params("requestState is not one that this call was given, or is too old");
        return Ok(Reply::Message(envelope::error(Some(&origin.id), &error)));
    };
    let mut params = origin.params.clone();
    match state.rest {
        Rest::Wrapped(inner) => {
            params.set("requestState", object::quote(&inner));
            origin.call(params).await
        }
        Rest::Again => {
            params.remove("requestState");
            params.remove("inputResponses");
            origin.call(params).await
        }
        Rest::Kept(place) if inner.questions.is_here(&place) => {
            match inner.questions.suspended.take(&place.handle).await {
                Some(parked) => origin.resume(parked).await,
                None => Ok(origin.lost()),
            }
        }
        Rest::Kept(place) => Ok(origin.elsewhere(&place, text).await),
        Rest::Task(left) => Ok(tasks::go_on(origin, left, state.round)),
        Rest::Detached(left) => origin.take_up(state.round, left).await,
    }
}

impl Origin {
    /// An `input_required` result for the client, with its state sealed: it carries where the call goes, and a server that
    /// serves many with one credential cannot tell them apart.
    pub(super) fn wrap(&self, asked: Asked, round: u64) -> Result<Bytes> {
        let requests = asked.requests().map_err(|problem| self.odd(problem))?;
        if !requests
            .iter()
            .all(|(_, method, params)| self.asks.permit(method, params.as_ref()))
        {
            return Ok(self.failure(&self.odd("it asks what it was told that this client cannot answer")));
        }
        let rest = match asked.state().map(object::text) {
            Some(Some(inner)) => Some(Rest::Wrapped(inner.into())),
            Some(None) => return Ok(self.failure(&self.odd("its requestState is no string"))),
            None if asked.ours => Some(Rest::Again),
            None => None,
        };
        let mut result = asked.result;
        if let Some(rest) = rest {
            result.set("requestState", object::quote(&self.seal(&self.state(round, rest))?));
        }
        Ok(envelope::result(&self.id, &result.to_bytes()))
    }

    fn state(&self, round: u64, rest: Rest) -> State {
        State {
            bound_to: self.bound_to(),
            install: self.install,
            digest: self.digest(),
            expires: self.expiry(),
            round,
            rest,
        }
    }

    /// The state that the client brought, if it is of this call.
    fn open_state(&self) -> Option<State> {
        let sealed = object::text(self.params.get("requestState")?)?;
        let state = State::decode(&self.inner.keys.open(Purpose::State, &sealed)?)?;
        let fits = state.bound_to == self.bound_to()
            && state.install == self.install
            && state.expires > self.now()
            && state.digest == self.digest();
        fits.then_some(state)
    }

    /// Keeps a call with questions. Gives what its client is told; or the call, when its questions had to be refused.
    fn suspend(&self, mut parked: Parked) -> Result<Bytes, Box<Parked>> {
        parked.round += 1;
        let limit = self.inner.config.limits.rounds;
        if usize::try_from(parked.round).unwrap_or(usize::MAX) > limit {
            let what = "questions of one call";
            return Ok(self.failure(&Error::Exhausted { what, limit }));
        }
        let round = parked.round;
        let mut requests = RawObject::new();
        for (key, question) in &parked.questions {
            let params = modern_params(&question.method, question.params.as_ref());
            requests.set(key, request(&question.method, params.as_ref()));
        }
        // Where the server's stream can be taken up again, nothing is kept here.
        if let Some(left) = leave(&mut parked, &requests) {
            return Ok(self.asks(round, Rest::Detached(left), &requests));
        }
        match self.inner.questions.suspended.keep(self.bound_to(), parked) {
            Ok(handle) => Ok(self.asks(round, Rest::Kept(self.inner.questions.place(handle)), &requests)),
            Err(mut back) => {
                let refused = ErrorObject::internal("the client cannot be asked now").to_bytes();
                for (_, question) in back.questions.drain(..) {
                    back.events.answer(&question.key, RpcResponse::Error(refused.clone()));
                }
                Err(back)
            }
        }
    }

    /// The message that asks the client.
    fn asks(&self, round: u64, rest: Rest, requests: &RawObject) -> Bytes {
        let sealed = match self.seal(&self.state(round, rest)) {
            Ok(sealed) => sealed,
            Err(error) => return self.failure(&error),
        };
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(INPUT_REQUIRED));
        result.set("inputRequests", requests.to_bytes());
        result.set("requestState", object::quote(&sealed));
        envelope::result(&self.id, &result.to_bytes())
    }

    /// The message that asks the client for what a task wants to know.
    pub(crate) fn asks_for_task(&self, round: u64, task: tasks::Left, requests: &RawObject) -> Bytes {
        self.asks(round, Rest::Task(task), requests)
    }

    /// The answers that the client brought.
    pub(crate) fn answers(&self) -> RawObject {
        let answers = self.params.get("inputResponses").map(RawObject::parse_checked);
        answers.and_then(Result::ok).unwrap_or_default()
    }

    pub(crate) fn progress_token(&self) -> Option<Bytes> {
        let meta = RawObject::parse_checked(self.params.get(meta::META)?).ok()?;
        meta.get(meta::PROGRESS_TOKEN).cloned()
    }

    /// Goes on with a call whose stream was left, in whichever replica. If that fails, the same state may be brought again.
    async fn take_up(self, round: u64, mut left: Detached) -> Result<Reply> {
        let answers = self.answers();
        let mut missing = Vec::new();
        let mut requests = RawObject::new();
        let mut known = Vec::new();
        for open in std::mem::take(&mut left.questions) {
            let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(&open.id)) else {
                return Ok(self.lost());
            };
            match answers.get(&open.key).filter(|raw| raw.starts_with(b"{")) {
                Some(raw) => {
                    let text = response(&id, &RpcResponse::Result(raw.clone()));
                    self.link.tell(&left.seat, &self.credential, text).await?;
                }
                None => {
                    requests.set(&open.key, Bytes::copy_from_slice(&open.request));
                    missing.push(open);
                }
            }
            known.push(id);
        }
        if !missing.is_empty() {
            left.questions = missing;
            return Ok(Reply::Message(self.asks(round, Rest::Detached(left), &requests)));
        }
        let Ok(call) = RequestId::parse(&Bytes::copy_from_slice(&left.call)) else {
            return Ok(self.lost());
        };
        let outgoing = self.outgoing(self.params.clone());
        let heir = Heir {
            outgoing: &outgoing,
            token: self.progress_token(),
            known,
        };
        let named = left.named;
        let left = Left {
            seat: left.seat,
            call,
            event: Bytes::copy_from_slice(left.event.as_bytes()),
        };
        Ok(match self.link.resume(&left, heir).await? {
            Some(Reply::Events(events)) => listen(self, Parked::from(events).after(round, named)),
            Some(reply) => reply,
            None => self.lost(),
        })
    }

    /// Goes on with a call that was kept: under the new request's id, with its answers.
    async fn resume(self, mut parked: Parked) -> Result<Reply> {
        let (answers, token) = (self.answers(), self.progress_token());
        // What is missing is asked again, under its key.
        let open = std::mem::take(&mut parked.questions);
        for (key, question) in open {
            match answers.get(&key).filter(|raw| raw.starts_with(b"{")) {
                Some(answer) => parked.events.answer(&question.key, RpcResponse::Result(answer.clone())),
                None => parked.questions.push((key, question)),
            }
        }
        parked.events.rebind(&self.id, token.as_ref());
        let heard = std::mem::take(&mut parked.heard).concat();
        let mut decoder = sse::Decoder::new(heard.len());
        decoder.push(heard.into());
        while let Ok(Some(event)) = decoder.next_event() {
            if let Some(message) = retell(&event.data, &self.id, token.as_ref()) {
                parked.heard.push(sse::event(&message));
            }
        }
        if !parked.heard.is_empty() || !parked.questions.is_empty() {
            return Ok(listen(self, parked));
        }
        let (round, named) = (parked.round, parked.named());
        Ok(match parked.events.settle().await? {
            Reply::Events(events) => listen(self, Parked::from(events).after(round, named)),
            reply => reply,
        })
    }

    /// The call was kept in another replica.
    async fn elsewhere(&self, place: &Place, text: &Bytes) -> Reply {
        match self.inner.hop(&self.visit, Verb::POST, place, text.clone()).await {
            Ok(response) => Reply::Ready(Box::new(response)),
            Err(_) => self.lost(),
        }
    }

    /// A call that had begun is never made again by itself: it may have done something.
    fn lost(&self) -> Reply {
        let failure = Failure::new(FailureKind::Stopped, "the call that waited for these answers is gone")
            .remedy("call again, if it may be done twice");
        Reply::Message(self.failure(&self.failed(failure)))
    }
}
