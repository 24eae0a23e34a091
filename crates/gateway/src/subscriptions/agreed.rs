//! What servers granted of the notifications that a subscriber asks for.

use std::{collections::BTreeSet, sync::Arc};

use portolan_client::notifications::GrantedFilter;
use portolan_wire::error::{self, ErrorObject};

use super::Watched;
use crate::tasks::WatchedTasks;

/// The answers of all servers to one subscriber.
#[derive(Debug, Default)]
pub(crate) struct AgreedFilter(Vec<Agreed>);

/// The answer of one server; `granted` is `None` until it is known.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) watched: Arc<Watched>,
    pub(super) tasks: Option<Arc<WatchedTasks>>,
    pub(super) granted: Option<Arc<GrantedFilter>>,
}

impl AgreedFilter {
    pub(super) fn new(answers: Vec<Agreed>) -> Self {
        Self(answers)
    }

    /// Returns `Ok` if some server notifies of this resource, or has not answered yet.
    ///
    /// # Errors
    ///
    /// The refusal of a server, if all of them refused.
    pub(crate) fn check(&self, uri: &str) -> Result<(), ErrorObject> {
        let mut refusal: Option<ErrorObject> = None;
        let mut answers = self
            .0
            .iter()
            .filter_map(|answer| Some((answer.watched.get(uri)?, &answer.granted)))
            .peekable();
        if answers.peek().is_none() {
            return Err(ErrorObject::invalid_params("no server has this resource"));
        }
        for (own, granted) in answers {
            let Some(granted) = granted else { return Ok(()) };
            match granted.refused.get(own) {
                None if granted.live => return Ok(()),
                None => {}
                Some(error) => match &refusal {
                    Some(known) if known.code != error::METHOD_NOT_FOUND => {}
                    _ => refusal = Some(error.clone()),
                },
            }
        }
        Err(refusal.unwrap_or_else(|| ErrorObject::internal("no server accepts subscriptions now; try again")))
    }

    /// Returns the client's ids of the tasks that servers notify of, or have not answered for yet.
    pub(crate) fn tasks(&self) -> BTreeSet<Arc<str>> {
        let client_ids = |answer: &Agreed| {
            let watched = answer.tasks.as_ref()?;
            let own = match &answer.granted {
                Some(granted) => granted.tasks.clone(),
                None => watched.own(),
            };
            Some(watched.client_ids(&own).cloned().collect::<Vec<_>>())
        };
        self.0.iter().filter_map(client_ids).flatten().collect()
    }
}
