//! The command line of the bridge.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt};
use portolan_core::{ProtocolEra, Secret, ServerRequestPolicy};

use super::TOKEN;
use crate::{ProcessConfig, RestartPolicy, ServerCommand, WorkDir};

/// The help text.
pub(super) const USAGE: &str = "\
usage: portolan-bridge [FLAGS] -- PROGRAM [ARGS...]
       portolan-bridge --copy-to PATH

Serves the stdio MCP server PROGRAM as streamable HTTP. Callers send the token in
PORTOLAN_BRIDGE_TOKEN as a bearer token.

  --port N          the port to listen on; default 8080
  --path PATH       the path of the MCP endpoint; default /mcp
  --era ERA         the era that the server speaks: auto, modern or legacy; default auto
  --asks LIST       the requests that a legacy server may send to clients: any of
                    elicitation, sampling and roots, or none; default elicitation
  --drain SECONDS   how long calls may go on after SIGTERM; default 25
  --timeout SECONDS how long a call may take; default 3600
  --no-token        admits everybody who reaches the port
  --copy-to PATH    copies this program to PATH and exits";

/// What the program is told to do.
#[derive(Debug)]
pub(super) enum Invocation {
    Help,
    Copy(PathBuf),
    Serve(Box<Flags>),
}

/// The flags, with their defaults.
#[derive(Debug)]
pub(super) struct Flags {
    port: u16,
    path: String,
    era: ProtocolEra,
    server_requests: ServerRequestPolicy,
    drain: Duration,
    timeout: Duration,
    no_token: bool,
    command: Vec<String>,
}

/// The configuration of a bridge.
#[derive(Debug)]
pub(super) struct BridgeConfig {
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) drain: Duration,
    pub(super) timeout: Duration,
    /// The token that callers have to send; `None` admits everybody.
    pub(super) token: Option<Secret>,
    pub(super) command: ServerCommand,
    pub(super) process: ProcessConfig,
}

/// Parses the command line, without the program's own name.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let mut flags = Flags::default();
    let mut parser = Parser::from_args(args);
    let with_usage = |error: lexopt::Error| format!("{error}\n{USAGE}");
    loop {
        if let Some(mut rest) = parser.try_raw_args()
            && rest.next_if(|arg| arg == "--").is_some()
        {
            flags.command = rest.map(utf8).collect::<Result<_, _>>()?;
            break;
        }
        let Some(arg) = parser.next().map_err(with_usage)? else {
            break;
        };
        let name = match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Invocation::Help),
            Arg::Long("no-token") => {
                flags.no_token = true;
                continue;
            }
            Arg::Long(name @ ("port" | "path" | "era" | "asks" | "drain" | "timeout" | "copy-to")) => name.to_owned(),
            other => return Err(with_usage(other.unexpected())),
        };
        let value = parser.value().map_err(with_usage)?;
        if name == "copy-to" {
            return Ok(Invocation::Copy(value.into()));
        }
        flags.set(&name, &value.string().map_err(|error| error.to_string())?)?;
    }
    if flags.command.is_empty() {
        return Err(format!("the program to serve is missing: give it after --\n{USAGE}"));
    }
    Ok(Invocation::Serve(Box::new(flags)))
}

fn utf8(arg: OsString) -> Result<String, String> {
    arg.into_string()
        .map_err(|arg| format!("the argument {} is not UTF-8", arg.display()))
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            port: 8080,
            path: "/mcp".into(),
            era: ProtocolEra::Auto,
            server_requests: ServerRequestPolicy::default(),
            drain: Duration::from_secs(25),
            timeout: Duration::from_secs(3600),
            no_token: false,
            command: Vec::new(),
        }
    }
}

impl Flags {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let invalid = |expected: &str| format!("--{name}: {value:?} is not {expected}");
        let seconds = || {
            let number = value.parse().map_err(|_| invalid("a number of seconds"))?;
            Ok::<_, String>(Duration::from_secs(number))
        };
        match name {
            "port" => self.port = value.parse().map_err(|_| invalid("a port"))?,
            "path" if value.starts_with('/') => value.clone_into(&mut self.path),
            "path" => return Err(invalid("a path that begins with '/'")),
            "era" => {
                self.era = match value {
                    "auto" => ProtocolEra::Auto,
                    "modern" => ProtocolEra::Modern,
                    "legacy" => ProtocolEra::Legacy,
                    _ => return Err(invalid("auto, modern or legacy")),
                };
            }
            "asks" => {
                self.server_requests =
                    server_requests(value).ok_or_else(|| invalid("a list of elicitation, sampling, roots or none"))?;
            }
            "drain" => self.drain = seconds()?,
            _ => self.timeout = seconds()?,
        }
        Ok(())
    }
}

fn server_requests(list: &str) -> Option<ServerRequestPolicy> {
    let mut policy = ServerRequestPolicy::ALL;
    (policy.elicitation, policy.sampling, policy.roots) = (false, false, false);
    for word in list.split(',').filter(|word| !word.is_empty()) {
        match word {
            "elicitation" => policy.elicitation = true,
            "sampling" => policy.sampling = true,
            "roots" => policy.roots = true,
            "none" => {}
            _ => return None,
        }
    }
    Some(policy)
}

impl BridgeConfig {
    /// Combines the command line with the environment. The server inherits the environment without the bridge's token.
    pub(super) fn new(flags: Flags, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, String> {
        let (tokens, env): (Vec<_>, Vec<_>) = env.into_iter().partition(|(name, _)| name == TOKEN);
        let mut command = flags.command.into_iter();
        let mut program = command.next().unwrap_or_default();
        if program.contains('/') && !program.starts_with('/') {
            // As a shell does: relative to the working directory.
            program = work_dir()?.join(program).to_string_lossy().into_owned();
        }
        Ok(Self {
            token: token(tokens, flags.no_token)?,
            command: ServerCommand::new(program, command)
                .with_era(flags.era)
                .with_server_requests(flags.server_requests),
            process: process_config(env)?,
            port: flags.port,
            path: flags.path,
            drain: flags.drain,
            timeout: flags.timeout,
        })
    }
}

fn token(found: Vec<(OsString, OsString)>, no_token: bool) -> Result<Option<Secret>, String> {
    let text = found.into_iter().next().map(|(_, value)| value.into_string());
    match text {
        _ if no_token => Ok(None),
        Some(Ok(text)) if !text.is_empty() => Ok(Some(Secret::new(text))),
        Some(Err(_)) => Err(format!("{TOKEN} is not UTF-8")),
        _ => Err(format!(
            "{TOKEN} is not set; set it, or admit everybody with --no-token"
        )),
    }
}

/// The server runs in the bridge's working directory and environment. Kubernetes restarts the container, so a crash loop
/// is given up earlier than elsewhere.
fn process_config(mut env: Vec<(OsString, OsString)>) -> Result<ProcessConfig, String> {
    let dir = work_dir()?;
    if !env.iter().any(|(name, _)| name == "HOME") {
        env.push(("HOME".into(), "/tmp".into()));
    }
    let mut config = ProcessConfig::new(std::env::temp_dir())
        .with_work_dir(WorkDir::At(dir))
        .with_start_deadline(Duration::from_secs(300))
        // The container ends with the bridge.
        .with_orphan_cleanup(false)
        .with_restarts(RestartPolicy::default().with_crash_loop_after(3));
    if let Some((_, path)) = env.iter().find(|(name, _)| name == "PATH") {
        config = config.with_search_path(path);
    }
    config.inherit = env;
    Ok(config)
}

fn work_dir() -> Result<PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("there is no working directory: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Flags, String> {
        match parse(line.split(' ').map(Into::into))? {
            Invocation::Serve(flags) => Ok(*flags),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_and_command_are_parsed() {
        let flags =
            flags("--port 9 --path /x --era legacy --asks sampling,roots --drain 3 --no-token -- npx -y --port 1");
        let flags = flags.unwrap();
        assert_eq!(
            (flags.port, flags.path.as_str(), flags.era),
            (9, "/x", ProtocolEra::Legacy)
        );
        assert_eq!(
            (
                flags.server_requests.elicitation,
                flags.server_requests.sampling,
                flags.server_requests.roots
            ),
            (false, true, true)
        );
        assert_eq!((flags.drain.as_secs(), flags.no_token), (3, true));
        assert_eq!(flags.command, ["npx", "-y", "--port", "1"]);
    }

    #[test]
    fn equals_sign_and_server_flags() {
        let flags = flags("--port=9 --drain=3 -- a --help -- --no-token").unwrap();
        assert_eq!((flags.port, flags.drain.as_secs(), flags.no_token), (9, 3, false));
        assert_eq!(flags.command, ["a", "--help", "--", "--no-token"]);
    }

    #[test]
    fn errors_name_the_flag() {
        for (line, named) in [
            ("--port x -- a", "--port"),
            ("--path mcp -- a", "'/'"),
            ("--era old -- a", "auto, modern or legacy"),
            ("--asks money -- a", "elicitation"),
            ("--port", "--port"),
            ("--what 1 -- a", "--what"),
            ("--port 1", "program to serve"),
            ("--port 1 npx", "npx"),
            ("--no-token=x -- a", "--no-token"),
        ] {
            let problem = flags(line).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }

    #[test]
    fn token_is_required_and_not_inherited() {
        let env = [(TOKEN.into(), "hunter22".into()), ("A".into(), "b".into())];
        let plan = BridgeConfig::new(flags("-- a").unwrap(), env).unwrap();
        assert_eq!(plan.token.as_ref().unwrap().reveal(), "hunter22");
        let names: Vec<_> = plan.process.inherit.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["A", "HOME"]);
        assert!(!format!("{plan:?}").contains("hunter22"));
        assert!(
            BridgeConfig::new(flags("-- a").unwrap(), [])
                .unwrap_err()
                .contains(TOKEN)
        );
        assert!(
            BridgeConfig::new(flags("--no-token -- a").unwrap(), [])
                .unwrap()
                .token
                .is_none()
        );
    }
}
