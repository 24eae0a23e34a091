//! Limits on open streams: in total, and listens per caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_core::{Error, Result, Subject};

/// Counts open streams against their limits.
#[derive(Clone, Debug)]
pub(super) struct StreamLimits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listens: usize,
    streams: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    listens: HashMap<Subject, usize>,
}

/// A permit for one stream, returned on drop.
#[derive(Debug)]
pub(super) struct StreamPermit {
    limits: StreamLimits,
    /// The caller, if the stream is a listen.
    listens: Option<Subject>,
}

impl StreamLimits {
    pub(super) fn new(listens: usize, streams: usize) -> Self {
        Self(Arc::new(Shared {
            listens,
            streams,
            counts: Mutex::default(),
        }))
    }

    pub(super) fn count(&self) -> usize {
        self.lock().all
    }

    /// Acquires a permit for a GET stream.
    pub(super) fn stream(&self) -> Result<StreamPermit> {
        self.take(None)
    }

    /// Acquires a permit for a listen of this caller.
    pub(super) fn listen(&self, subject: &Subject) -> Result<StreamPermit> {
        self.take(Some(subject.clone()))
    }

    fn take(&self, listens: Option<Subject>) -> Result<StreamPermit> {
        let mut counts = self.lock();
        if counts.all >= self.0.streams {
            let limit = self.0.streams;
            return Err(Error::Exhausted { what: "streams", limit });
        }
        if let Some(subject) = &listens {
            let count = counts.listens.entry(subject.clone()).or_default();
            if *count >= self.0.listens {
                return Err(Error::Exhausted {
                    what: "listens of one caller",
                    limit: self.0.listens,
                });
            }
            *count += 1;
        }
        counts.all += 1;
        Ok(StreamPermit {
            limits: self.clone(),
            listens,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut counts = self.limits.lock();
        counts.all -= 1;
        if let Some(subject) = &self.listens
            && let Some(count) = counts.listens.get_mut(subject)
        {
            *count -= 1;
            if *count == 0 {
                counts.listens.remove(subject);
            }
        }
    }
}
