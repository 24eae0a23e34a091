//! How many streams are open: in all, and of each caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_core::{Error, Result, Subject};

/// The places for streams.
#[derive(Clone, Debug)]
pub(super) struct StreamLimits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listens: usize,
    streams: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    listens: HashMap<Subject, usize>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct StreamPermit {
    limits: StreamLimits,
    /// Whose listen it is for, if for one.
    listens: Option<Subject>,
}

impl StreamLimits {
    pub(super) fn new(listens: usize, streams: usize) -> Self {
        Self(Arc::new(Shared {
            listens,
            streams,
            taken: Mutex::default(),
        }))
    }

    pub(super) fn count(&self) -> usize {
        self.lock().all
    }

    /// A place for a GET stream.
    pub(super) fn stream(&self) -> Result<StreamPermit> {
        self.take(None)
    }

    /// A place for a listen of this caller.
    pub(super) fn listen(&self, subject: &Subject) -> Result<StreamPermit> {
        self.take(Some(subject.clone()))
    }

    fn take(&self, listens: Option<Subject>) -> Result<StreamPermit> {
        let mut taken = self.lock();
        if taken.all >= self.0.streams {
            let limit = self.0.streams;
            return Err(Error::Exhausted { what: "streams", limit });
        }
        if let Some(subject) = &listens {
            let count = taken.listens.entry(subject.clone()).or_default();
            if *count >= self.0.listens {
                return Err(Error::Exhausted {
                    what: "listens of one caller",
                    limit: self.0.listens,
                });
            }
            *count += 1;
        }
        taken.all += 1;
        Ok(StreamPermit {
            limits: self.clone(),
            listens,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut taken = self.limits.lock();
        taken.all -= 1;
        if let Some(subject) = &self.listens
            && let Some(count) = taken.listens.get_mut(subject)
        {
            *count -= 1;
            if *count == 0 {
                taken.listens.remove(subject);
            }
        }
    }
}
