//! What the quickstart is asked to do.

use std::path::PathBuf;

use portolan::{Result, ServerName, ServerSpec};
use serde_json::{Value, json};

pub(crate) const USAGE: &str = "\
usage: quickstart [--once] [--listen ADDRESS] [--db FILE] [--name NAME] [--url URL | PROGRAM ARGUMENT...]

  --once             end after the call; the exit code says how it went
  --listen ADDRESS   where to serve [127.0.0.1:8080]
  --db FILE          where everything is kept [portolan.db]
  --name NAME        what the server is called [demo, or made from the program]
  --url URL          a server that runs elsewhere
  PROGRAM ARGUMENT   a stdio server, such as: npx -y @modelcontextprotocol/server-everything";

/// What was asked for.
pub(crate) struct Options {
    pub(crate) once: bool,
    pub(crate) listen: String,
    pub(crate) database: PathBuf,
    pub(crate) be_demo_server: bool,
    name: Option<String>,
    url: Option<String>,
    command: Vec<String>,
}

impl Options {
    pub(crate) fn read() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::{Long, Value, ValueExt};

        let mut options = Self {
            once: false,
            listen: "127.0.0.1:8080".into(),
            database: "portolan.db".into(),
            be_demo_server: false,
            name: None,
            url: None,
            command: Vec::new(),
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("once") => options.once = true,
                Long("listen") => options.listen = args.value()?.string()?,
                Long("db") => options.database = args.value()?.into(),
                Long("name") => options.name = Some(args.value()?.string()?),
                Long("url") => options.url = Some(args.value()?.string()?),
                Long("be-demo-server") => options.be_demo_server = true,
                Value(program) => {
                    // The rest of the line is the program's own.
                    options.command.push(program.string()?);
                    let rest: Result<Vec<_>, _> = args.raw_args()?.map(ValueExt::string).collect();
                    options.command.extend(rest?);
                }
                other => return Err(other.unexpected()),
            }
        }
        if options.url.is_some() && !options.command.is_empty() {
            return Err("give a URL or a program, not both".into());
        }
        Ok(options)
    }

    /// The server to register.
    pub(crate) fn server_spec(&self) -> Result<ServerSpec> {
        let name = self.server_name();
        if let Some(url) = &self.url {
            return ServerSpec::remote(name, url);
        }
        match self.command.split_first() {
            Some((program, args)) => ServerSpec::command(name, program, args),
            None => {
                let this = std::env::current_exe().map_err(|fault| {
                    portolan::Error::invalid("the demo server", format!("cannot be found: {fault}"))
                })?;
                ServerSpec::command(name, this.to_string_lossy(), ["--be-demo-server"])
            }
        }
    }

    /// The server in words.
    pub(crate) fn describe(&self) -> String {
        match (&self.url, self.command.is_empty()) {
            (Some(url), _) => url.clone(),
            (None, true) => "the demo server".into(),
            (None, false) => self.command.join(" "),
        }
    }

    /// A tool of `server` that is safe to call for a show, with arguments: a known one, else one that wants none and
    /// changes nothing.
    pub(crate) fn choose(&self, server: &ServerName, tools: &[Value]) -> Option<(String, Value)> {
        let known = [
            ("greet", json!({"name": "Portolan"})),
            ("echo", json!({"message": "hello"})),
            ("get_current_time", json!({"timezone": "UTC"})),
        ];
        let names = || tools.iter().filter_map(|tool| tool["name"].as_str());
        for (name, arguments) in known {
            let wanted = format!("{server}__{name}");
            if names().any(|name| name == wanted) {
                return Some((wanted, arguments));
            }
        }
        let own = format!("{server}__");
        let harmless = |tool: &&Value| {
            let wants = tool["inputSchema"]["required"]
                .as_array()
                .is_some_and(|required| !required.is_empty());
            let is_own = tool["name"].as_str().is_some_and(|name| name.starts_with(&own));
            is_own && !wants && tool["annotations"]["readOnlyHint"] == true
        };
        let tool = tools.iter().find(harmless)?;
        Some((tool["name"].as_str()?.into(), json!({})))
    }

    /// A name made of what is given: the last part of a package, program or host.
    fn server_name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let source = match &self.url {
            Some(url) => url
                .split("//")
                .nth(1)
                .and_then(|rest| rest.split(['/', ':']).next())
                .unwrap_or("remote"),
            None => match self
                .command
                .iter()
                .skip(1)
                .find(|arg| !arg.starts_with('-'))
                .or_else(|| self.command.first())
            {
                Some(part) => part.rsplit('/').next().unwrap_or(part),
                None => return "demo".into(),
            },
        };
        let slug = source.chars().map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        });
        let parts: String = slug.take(40).collect();
        let parts: Vec<_> = parts.split('-').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            "server".into()
        } else {
            parts.join("-")
        }
    }
}
