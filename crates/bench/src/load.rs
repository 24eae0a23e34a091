//! The load: clients that send a call, check the response and send the next call.

mod check;
mod client;
mod collect;
mod connection;
mod request;
mod response;
mod target;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::Result;
use crate::cell::Era;
use crate::histogram::Histogram;

pub(crate) use self::check::{Expected, id_of, message as check_message};
pub(crate) use self::request::{FIRST_ID, call_body, discover_body, echo_text, initialize_body};
pub(crate) use self::target::Target;

/// The time that all clients together have to connect, and later to finish.
const CLIENTS_TIMEOUT: Duration = Duration::from_secs(15);

/// The load of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) era: Era,
    pub(crate) clients: usize,
    pub(crate) bytes: usize,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// The counts between start and end of the window.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    /// Failed calls and handshakes, including those outside the window.
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
    pub(crate) latencies: Histogram,
    pub(crate) elapsed: Duration,
}

/// The phase of a measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    WarmUp,
    Window,
    Over,
}

/// Shared state of the clients of one measurement.
#[derive(Debug)]
struct Tally {
    phase: Cell<Phase>,
    ready: Cell<usize>,
    calls: Cell<u64>,
    failures: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    latencies: RefCell<Histogram>,
    /// One buffer for all connections: each read is consumed before the next await.
    buffer: RefCell<Box<[u8]>>,
}

impl Tally {
    fn new() -> Self {
        Self {
            phase: Cell::new(Phase::WarmUp),
            ready: Cell::new(0),
            calls: Cell::new(0),
            failures: Cell::new(0),
            first_failure: RefCell::default(),
            latencies: RefCell::new(Histogram::new()),
            buffer: RefCell::new(vec![0; 256 << 10].into()),
        }
    }

    fn completed(&self, latency: Duration) {
        if self.phase.get() == Phase::Window {
            self.calls.set(self.calls.get() + 1);
            self.latencies.borrow_mut().add(latency);
        }
    }

    fn failed(&self, problem: &str) {
        self.failures.set(self.failures.get() + 1);
        self.first_failure
            .borrow_mut()
            .get_or_insert_with(|| problem.to_owned());
    }

    fn is_over(&self) -> bool {
        self.phase.get() == Phase::Over
    }
}

/// Runs a load. Calls `read_usage` at the start and at the end of the window.
pub(crate) async fn run(target: &Target, load: Load, mut read_usage: impl FnMut() -> Result<()>) -> Result<Counted> {
    let tally = Rc::new(Tally::new());
    let clients = LocalSet::new();
    for number in 0..load.clients {
        clients.spawn_local(client::run(target.clone(), load, number, tally.clone()));
    }
    let elapsed = clients
        .run_until(async {
            all_ready(&tally, load.clients).await;
            tokio::time::sleep(load.warm_up).await;
            read_usage()?;
            tally.phase.set(Phase::Window);
            let start = Instant::now();
            tokio::time::sleep(load.window).await;
            tally.phase.set(Phase::Over);
            let elapsed = start.elapsed();
            read_usage()?;
            Ok::<_, Box<dyn std::error::Error>>(elapsed)
        })
        .await?;
    if tokio::time::timeout(CLIENTS_TIMEOUT, clients).await.is_err() {
        tally.failed("calls were still unanswered long after the window");
    }
    let latencies = tally.latencies.borrow().clone();
    let first_failure = tally.first_failure.borrow().clone();
    Ok(Counted {
        calls: tally.calls.get(),
        failures: tally.failures.get(),
        first_failure,
        latencies,
        elapsed,
    })
}

async fn all_ready(tally: &Tally, clients: usize) {
    let start = Instant::now();
    while tally.ready.get() < clients {
        if start.elapsed() > CLIENTS_TIMEOUT {
            tally.failed("not every client could connect");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes one call, with the handshake before it, to see that a system works.
pub(crate) async fn one_call(target: &Target, era: Era) -> Result<()> {
    let tally = Rc::new(Tally::new());
    let load = Load {
        era,
        clients: 1,
        bytes: 64,
        warm_up: Duration::ZERO,
        window: Duration::ZERO,
    };
    client::single(target.clone(), load, tally).await
}
