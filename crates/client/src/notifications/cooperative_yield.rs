//! Lets other tasks run while a server says much at once.

/// The number of messages after which other tasks get to run.
const AT_A_TIME: u8 = 16;

/// Yields now and then, so that listeners can take what a burst of notifications queues for them.
#[derive(Debug, Default)]
pub(crate) struct CooperativeYield(u8);

impl CooperativeYield {
    pub(crate) async fn take(&mut self) {
        self.0 += 1;
        if self.0 >= AT_A_TIME {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
