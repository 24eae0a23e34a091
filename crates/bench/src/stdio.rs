//! Measures a stdio server directly, with as many calls in flight as there are clients.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};

use crate::Result;
use crate::cell::Era;
use crate::child::spawn_on;
use crate::histogram::Histogram;
use crate::load::{self, Counted, Expected, FIRST_ID, Load};
use crate::measure::Sample;
use crate::pin::Cores;
use crate::usage::{self, Cpu};

/// The time that a server has for the next response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts a stdio server and measures it.
pub(crate) async fn measure(line: &str, load: Load, cores: Cores) -> Result<Sample> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().ok_or("--stdio names no program")?);
    command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut server = Server::new(spawn_on(&mut command, cores.measured, cores)?)?;
    server.handshake(load.era).await?;
    let process = server.process.id().ok_or("the stdio server has ended")?;
    let (counted, cpu) = drive(&mut server, process, load).await?;
    let peak = usage::memory(process, "VmHWM:")?;
    server.process.kill().await?;
    Ok(Sample::new(counted, cpu, peak, Duration::ZERO))
}

struct Server {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Server {
    fn new(mut process: Process) -> Result<Self> {
        let input = process.stdin.take().ok_or("a process without stdin")?;
        let output = BufReader::with_capacity(64 << 10, process.stdout.take().ok_or("a process without stdout")?);
        Ok(Self {
            process,
            input,
            output,
            line: Vec::new(),
        })
    }

    async fn handshake(&mut self, era: Era) -> Result<()> {
        let greeting = match era {
            Era::Legacy => load::initialize_body(),
            Era::Modern => load::discover_body(),
        };
        self.input.write_all(format!("{greeting}\n").as_bytes()).await?;
        self.read().await?;
        load::check_message(
            &self.line,
            Expected {
                id: FIRST_ID,
                era,
                text: None,
            },
        )?;
        if era == Era::Legacy {
            let initialized = concat!(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "\n");
            self.input.write_all(initialized.as_bytes()).await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<()> {
        self.line.clear();
        let read = tokio::time::timeout(RESPONSE_TIMEOUT, self.output.read_until(b'\n', &mut self.line)).await;
        match read.map_err(|_| "the stdio server is silent")?? {
            0 => Err("the stdio server ended".into()),
            _ => Ok(()),
        }
    }
}

async fn drive(server: &mut Server, process: u32, load: Load) -> Result<(Counted, Duration)> {
    let mut in_flight: HashMap<u64, Instant> = HashMap::with_capacity(load.clients);
    let mut out = Vec::new();
    let mut next = FIRST_ID + 1;
    let mut counted = Counted::new();
    let mut begin = None;
    let start = Instant::now();
    loop {
        while in_flight.len() < load.clients {
            out.extend_from_slice(request(load, next).as_bytes());
            in_flight.insert(next, Instant::now());
            next += 1;
        }
        // Responses that are buffered come first, so that the next requests go out in one write.
        if server.output.buffer().is_empty() {
            server.input.write_all(&out).await?;
            out.clear();
        }
        server.read().await?;
        let now = Instant::now();
        match completed(&server.line, load, &mut in_flight) {
            Ok(sent) if begin.is_some() => counted.add(now - sent),
            Ok(_) => {}
            Err(problem) => return Err(format!("stdio, direct: {problem}").into()),
        }
        match &begin {
            None if now - start >= load.warm_up => begin = Some((now, Cpu::read(process)?)),
            Some((since, cpu)) if now - *since >= load.window => {
                counted.elapsed = now - *since;
                return Ok((counted, Cpu::read(process)?.since(cpu)));
            }
            _ => {}
        }
    }
}

/// Checks a response and returns when its call was sent.
fn completed(line: &[u8], load: Load, in_flight: &mut HashMap<u64, Instant>) -> Result<Instant> {
    let id = load::id_of(line)?;
    let sent = in_flight
        .remove(&id)
        .ok_or_else(|| format!("response with an unknown id: {id}"))?;
    let text = load::echo_text(0, id, load.bytes);
    load::check_message(
        line,
        Expected {
            id,
            era: load.era,
            text: Some(&text),
        },
    )?;
    Ok(sent)
}

fn request(load: Load, id: u64) -> String {
    let arguments = format!(r#"{{"text":"{}"}}"#, load::echo_text(0, FIRST_ID, load.bytes));
    let mut line = load::call_body(load.era, "echo", &arguments).replace(&FIRST_ID.to_string(), &id.to_string());
    line.push('\n');
    line
}

impl Counted {
    fn new() -> Self {
        Self {
            calls: 0,
            failures: 0,
            first_failure: None,
            latencies: Histogram::new(),
            elapsed: Duration::ZERO,
        }
    }

    fn add(&mut self, latency: Duration) {
        self.calls += 1;
        self.latencies.add(latency);
    }
}
