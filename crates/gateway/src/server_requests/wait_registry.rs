//! Calls of legacy clients that wait in this replica for answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_client::MAX_SERVER_REQUESTS;
use portolan_core::RpcResponse;
use tokio::sync::mpsc;

use crate::replicas::{Handle, random_handle};

/// Which calls wait. Each is taken out when it is over, whatever ended it.
#[derive(Debug, Default)]
pub(crate) struct WaitRegistry(Mutex<HashMap<Handle, mpsc::Sender<(u64, RpcResponse)>>>);

/// The place of one call among them.
#[derive(Debug)]
pub(crate) struct WaitGuard {
    pub(crate) handle: Handle,
    answers: mpsc::Receiver<(u64, RpcResponse)>,
    waiting: Arc<WaitRegistry>,
}

impl WaitRegistry {
    pub(crate) fn enter(self: &Arc<Self>) -> WaitGuard {
        let (sender, answers) = mpsc::channel(MAX_SERVER_REQUESTS);
        let handle = random_handle();
        self.lock().insert(handle, sender);
        WaitGuard {
            handle,
            answers,
            waiting: self.clone(),
        }
    }

    /// Brings an answer to the call under `handle`. One that is over, or has more answers than it asked, gets none.
    pub(crate) fn answer(&self, handle: &Handle, key: u64, answer: RpcResponse) {
        if let Some(call) = self.lock().get(handle) {
            let _ = call.try_send((key, answer));
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, mpsc::Sender<(u64, RpcResponse)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitGuard {
    /// The next answer, with the key of its question.
    pub(crate) async fn next(&mut self) -> (u64, RpcResponse) {
        match self.answers.recv().await {
            Some(answer) => answer,
            // The sender is in the table as long as this is.
            None => std::future::pending().await,
        }
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        waiting.remove(&self.handle);
        if waiting.capacity() > 4 * waiting.len() + 256 {
            waiting.shrink_to_fit();
        }
    }
}
