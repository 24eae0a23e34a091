//! Lets other tasks run while a server says much at once.

/// Messages that are told before others get to run.
const AT_A_TIME: u8 = 16;

/// Lets others run now and then: those who read get to take what a burst puts in for them.
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
