//! What the bridge is told to do.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use portolan_core::{ProtocolEra, Secret, ServerRequestPolicy};

use super::TOKEN;
use crate::{ProcessConfig, ServerCommand, WorkDir};

/// How it is called.
pub(super) const USAGE: &str = "\
usage: portolan-bridge [FLAGS] -- PROGRAM [ARGS...]
       portolan-bridge --copy-to PATH

Serves the stdio MCP server PROGRAM as streamable HTTP. Callers show the token that
PORTOLAN_BRIDGE_TOKEN holds, as a bearer token.

  --port N          where it listens; 8080 unless told
  --path PATH       the MCP endpoint; /mcp unless told
  --era ERA         auto, modern or legacy: what the server speaks; auto unless told
  --asks LIST       what a legacy server may ask clients: any of elicitation, sampling and
                    roots, or none; elicitation unless told
  --drain SECONDS   how long calls may go on after SIGTERM; 25 unless told
  --timeout SECONDS how long a call may take; 3600 unless told
  --no-token        lets everybody call who reaches the port
  --copy-to PATH    copies this program to PATH and ends";

/// What is asked of the program.
#[derive(Debug)]
pub(super) enum Invocation {
    Help,
    Copy(PathBuf),
    Serve(Box<Flags>),
}

/// The command line.
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

/// What to serve, and how.
#[derive(Debug)]
pub(super) struct BridgeConfig {
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) drain: Duration,
    pub(super) timeout: Duration,
    /// What callers have to show; `None` if anybody may call.
    pub(super) token: Option<Secret>,
    pub(super) command: ServerCommand,
    pub(super) process: ProcessConfig,
}

/// Reads the command line.
pub(super) fn parse(args: Vec<OsString>) -> Result<Invocation, String> {
    let mut flags = Flags {
        port: 8080,
        path: "/mcp".into(),
        era: ProtocolEra::Auto,
        server_requests: ServerRequestPolicy::default(),
        drain: Duration::from_secs(25),
        timeout: Duration::from_secs(3600),
        no_token: false,
        command: Vec::new(),
    };
    let mut args = args.into_iter().map(|arg| {
        arg.into_string()
            .map_err(|arg| format!("{} is not UTF-8", arg.display()))
    });
    while let Some(flag) = args.next().transpose()? {
        match flag.as_str() {
            "--help" | "-h" => return Ok(Invocation::Help),
            "--no-token" => flags.no_token = true,
            "--" => {
                flags.command = args.collect::<Result<_, _>>()?;
                break;
            }
            _ => {
                let value = args.next().transpose()?;
                let value = value.ok_or_else(|| format!("{flag}: unknown, or its value is missing\n{USAGE}"))?;
                if flag == "--copy-to" {
                    return Ok(Invocation::Copy(value.into()));
                }
                flags.set(&flag, &value)?;
            }
        }
    }
    if flags.command.is_empty() {
        return Err(format!("it is not said which program to serve\n{USAGE}"));
    }
    Ok(Invocation::Serve(Box::new(flags)))
}

impl Flags {
    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("{flag}: {value:?} is {what}");
        let seconds = || {
            let number = value.parse().map_err(|_| wrong("no number of seconds"))?;
            Ok::<_, String>(Duration::from_secs(number))
        };
        match flag {
            "--port" => self.port = value.parse().map_err(|_| wrong("no port"))?,
            "--path" if value.starts_with('/') => value.clone_into(&mut self.path),
            "--path" => return Err(wrong("no path: it begins with '/'")),
            "--era" => {
                self.era = match value {
                    "auto" => ProtocolEra::Auto,
                    "modern" => ProtocolEra::Modern,
                    "legacy" => ProtocolEra::Legacy,
                    _ => return Err(wrong("no era: auto, modern or legacy")),
                };
            }
            "--asks" => {
                self.server_requests =
                    asks(value).ok_or_else(|| wrong("not known: elicitation, sampling, roots or none"))?
            }
            "--drain" => self.drain = seconds()?,
            "--timeout" => self.timeout = seconds()?,
            _ => return Err(format!("{flag}: unknown\n{USAGE}")),
        }
        Ok(())
    }
}

fn asks(list: &str) -> Option<ServerRequestPolicy> {
    let mut asks = ServerRequestPolicy::ALL;
    (asks.elicitation, asks.sampling, asks.roots) = (false, false, false);
    for word in list.split(',').filter(|word| !word.is_empty()) {
        match word {
            "elicitation" => asks.elicitation = true,
            "sampling" => asks.sampling = true,
            "roots" => asks.roots = true,
            "none" => {}
            _ => return None,
        }
    }
    Some(asks)
}

impl BridgeConfig {
    /// What the command line and the environment say together. The server gets the environment without our token.
    pub(super) fn new(flags: Flags, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, String> {
        let (ours, env): (Vec<_>, Vec<_>) = env.into_iter().partition(|(name, _)| name == TOKEN);
        let mut command = flags.command.into_iter();
        let mut program = command.next().unwrap_or_default();
        if program.contains('/') && !program.starts_with('/') {
            // As a shell would: from where we are.
            program = work_dir()?.join(program).to_string_lossy().into_owned();
        }
        Ok(Self {
            token: token(ours, flags.no_token)?,
            command: ServerCommand::new(program, command)
                .with_era(flags.era)
                .with_server_requests(flags.server_requests),
            process: process(env)?,
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
            "{TOKEN} is not set; set it, or let everybody in with --no-token"
        )),
    }
}

/// How the server is run: in our place, with our environment, tried less often than elsewhere, for Kubernetes tries too.
fn process(mut env: Vec<(OsString, OsString)>) -> Result<ProcessConfig, String> {
    let dir = work_dir()?;
    if !env.iter().any(|(name, _)| name == "HOME") {
        env.push(("HOME".into(), "/tmp".into()));
    }
    let mut config = ProcessConfig::new(std::env::temp_dir());
    if let Some((_, path)) = env.iter().find(|(name, _)| name == "PATH") {
        config.path.clone_from(path);
    }
    config.inherit = env;
    config.work_dir = WorkDir::At(dir);
    config.start_deadline = Duration::from_secs(300);
    config.restarts.crash_loop_after = 3;
    Ok(config)
}

fn work_dir() -> Result<PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("there is no working directory: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Flags, String> {
        match parse(line.split(' ').map(Into::into).collect())? {
            Invocation::Serve(flags) => Ok(*flags),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_flags_are_read_and_the_rest_is_the_servers() {
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
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("--port x -- a", "--port"),
            ("--path mcp -- a", "'/'"),
            ("--era old -- a", "auto, modern or legacy"),
            ("--asks money -- a", "elicitation"),
            ("--port", "--port"),
            ("--what 1 -- a", "--what"),
            ("--port 1", "which program"),
        ] {
            let problem = flags(line).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }

    #[test]
    fn the_token_is_needed_and_does_not_reach_the_server() {
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
