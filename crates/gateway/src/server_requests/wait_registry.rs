//! Calls of legacy clients that wait in this replica for responses.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_client::MAX_SERVER_REQUESTS;
use portolan_core::RpcResponse;
use tokio::sync::mpsc;

use crate::replicas::{Handle, random_handle};

/// The waiting calls. Each entry is removed when its guard is dropped.
#[derive(Debug, Default)]
pub(crate) struct WaitRegistry(Mutex<HashMap<Handle, mpsc::Sender<(u64, RpcResponse)>>>);

/// The registration of one waiting call.
#[derive(Debug)]
pub(crate) struct WaitGuard {
    pub(crate) handle: Handle,
    responses: mpsc::Receiver<(u64, RpcResponse)>,
    waiting: Arc<WaitRegistry>,
}

impl WaitRegistry {
    pub(crate) fn register(self: &Arc<Self>) -> WaitGuard {
        let (sender, responses) = mpsc::channel(MAX_SERVER_REQUESTS);
        let handle = random_handle();
        self.lock().insert(handle, sender);
        WaitGuard {
            handle,
            responses,
            waiting: self.clone(),
        }
    }

    /// Delivers a response to the call under `handle`. Drops it if the call has ended, or got more responses than it
    /// sent requests.
    pub(crate) fn deliver(&self, handle: &Handle, key: u64, response: RpcResponse) {
        if let Some(call) = self.lock().get(handle) {
            let _ = call.try_send((key, response));
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
    /// Returns the next response, with the key of its request.
    pub(crate) async fn next(&mut self) -> (u64, RpcResponse) {
        match self.responses.recv().await {
            Some(response) => response,
            // The sender is in the table as long as the guard exists.
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
