//! One client: connects, then calls in a closed loop.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::check::{self, Expected};
use super::connection::Connection;
use super::request::{self, FIRST_ID};
use super::target::Target;
use super::{Load, Tally};
use crate::Result;
use crate::cell::Era;

/// The delay before a client reconnects after a failure.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Calls until the measurement is over. Counts each failure, then reconnects.
pub(super) async fn run(target: Target, load: Load, number: usize, tally: Rc<Tally>) {
    let mut was_ready = false;
    while !tally.is_over() {
        if let Err(problem) = run_session(&target, load, number, &tally, &mut was_ready).await {
            tally.failed(&problem.to_string());
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

/// Makes the handshake and one call.
pub(super) async fn single(target: Target, load: Load, tally: Rc<Tally>) -> Result<()> {
    let mut client = Client::open(&target, load, 0, &tally).await?;
    client.call(FIRST_ID).await?;
    client.close(&target).await
}

async fn run_session(target: &Target, load: Load, number: usize, tally: &Tally, was_ready: &mut bool) -> Result<()> {
    let mut client = Client::open(target, load, number, tally).await?;
    if !std::mem::replace(was_ready, true) {
        tally.ready.set(tally.ready.get() + 1);
    }
    for id in FIRST_ID.. {
        if tally.is_over() {
            break;
        }
        let start = Instant::now();
        client.call(id).await?;
        tally.completed(start.elapsed());
    }
    client.close(target).await
}

/// A connected client.
struct Client<'a> {
    connection: Connection,
    request: request::Request,
    session: Option<String>,
    load: Load,
    number: usize,
    tally: &'a Tally,
}

impl<'a> Client<'a> {
    async fn open(target: &Target, load: Load, number: usize, tally: &'a Tally) -> Result<Self> {
        let mut connection = Connection::open(target.address).await?;
        let session = match load.era {
            Era::Legacy => handshake(&mut connection, target, tally).await?,
            Era::Modern => None,
        };
        let request = request::call(target, load.era, number, load.bytes, session.as_deref());
        Ok(Self {
            connection,
            request,
            session,
            load,
            number,
            tally,
        })
    }

    async fn call(&mut self, id: u64) -> Result<()> {
        let skip = self.load.bytes > request::LARGEST_ECHO;
        self.connection
            .exchange(self.request.with_id(id), skip, &self.tally.buffer)
            .await?;
        let response = &self.connection.response;
        if response.head.status != 200 {
            return Err(unexpected_status(&self.connection));
        }
        if skip && response.body.text_length() != self.load.bytes {
            return Err(format!("a text of {} bytes", response.body.text_length()).into());
        }
        let text = if skip {
            String::new()
        } else {
            request::echo_text(self.number, id, self.load.bytes)
        };
        let expected = Expected {
            id,
            era: self.load.era,
            text: Some(&text),
        };
        if response.head.events {
            check::events(response.body.content(), expected)
        } else {
            check::message(response.body.content(), expected)
        }
    }

    /// Ends the session. A server need not support that, so any response is accepted.
    async fn close(&mut self, target: &Target) -> Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let mut request = request::delete(target, &session);
        self.connection
            .exchange(request.with_id(FIRST_ID), false, &self.tally.buffer)
            .await
    }
}

async fn handshake(connection: &mut Connection, target: &Target, tally: &Tally) -> Result<Option<String>> {
    connection
        .exchange(request::initialize(target).with_id(FIRST_ID), false, &tally.buffer)
        .await?;
    if connection.response.head.status != 200 {
        return Err(unexpected_status(connection));
    }
    let expected = Expected {
        id: FIRST_ID,
        era: Era::Legacy,
        text: None,
    };
    let body = connection.response.body.content();
    if connection.response.head.events {
        check::events(body, expected)?;
    } else {
        check::message(body, expected)?;
    }
    let session = connection.response.head.session.take();
    let mut initialized = request::initialized(target, session.as_deref());
    connection
        .exchange(initialized.with_id(FIRST_ID), false, &tally.buffer)
        .await?;
    if connection.response.head.status != 202 {
        return Err(unexpected_status(connection));
    }
    Ok(session)
}

fn unexpected_status(connection: &Connection) -> Box<dyn std::error::Error> {
    let body = String::from_utf8_lossy(connection.response.body.content());
    format!(
        "HTTP {}: {}",
        connection.response.head.status,
        body.chars().take(400).collect::<String>()
    )
    .into()
}
