//! What people see while they wait, and when it is done.

use std::{
    error::Error as _,
    io::{IsTerminal, Write},
    time::Instant,
};

use portolan::Error;

/// One step: a line that tells how far it is, and then how it ended.
pub(crate) struct Line {
    what: String,
    since: Instant,
    last: String,
}

impl Line {
    pub(crate) fn begin(what: String) -> Self {
        let line = Self {
            what,
            since: Instant::now(),
            last: String::new(),
        };
        line.draw("…");
        line
    }

    /// Shows what goes on.
    pub(crate) fn step(&mut self, what: &str) {
        if self.last != what {
            what.clone_into(&mut self.last);
            self.draw(&format!("… {what}"));
        }
    }

    /// Shows how it ended.
    pub(crate) fn done(&mut self, outcome: String) {
        let took = self.since.elapsed();
        let took = if took.as_millis() < 1000 {
            format!("{} ms", took.as_millis())
        } else {
            format!("{:.1} s", took.as_secs_f32())
        };
        let clear = if std::io::stdout().is_terminal() {
            "\r\x1b[2K"
        } else {
            ""
        };
        say(&format!("{clear}✓ {}: {outcome} ({took})", self.what));
    }

    fn draw(&self, state: &str) {
        if std::io::stdout().is_terminal() {
            let mut out = std::io::stdout();
            let _ = write!(out, "\r\x1b[2K  {} {}", self.what, shorten(state, 100));
            let _ = out.flush();
        } else if state != "…" {
            say(&format!("  {} {}", self.what, state));
        }
    }
}

/// Says what went wrong, why, and what to do.
pub(crate) fn explain(error: &Error) {
    if std::io::stdout().is_terminal() {
        say("");
    }
    eprintln!("✗ {error}");
    if let Error::NotReady { failure, .. } = error {
        failure.detail.iter().for_each(|line| eprintln!("    {line}"));
    }
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("    because {cause}");
        source = cause.source();
    }
    if let Some(remedy) = error.remedy() {
        eprintln!("  → {remedy}");
    }
}

/// Says how to reach the endpoint.
pub(crate) fn introduce(url: &str, token: &str) {
    let config = serde_json::json!({
        "mcpServers": {
            "portolan": { "type": "http", "url": url, "headers": { "Authorization": format!("Bearer {token}") } }
        }
    });
    say(&format!("\nendpoint  {url}"));
    say(&format!("token     {token}   (shown this once; stored hashed)"));
    say(&format!("\npaste into an MCP client:\n{config:#}"));
}

/// Prints a line. Whoever reads it may have gone away, as `head` does; that is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// At most `most` characters of a text, on one line.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most).chain(['…']).collect()
}
