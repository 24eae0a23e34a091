//! One server as an entry of a client file.

use super::output::Output;
use super::placeholder::{text, variable};
use super::{Secrets, unwritable};
use crate::{Error, Format, Input, InputSource, Launch, Part, Server, Text, TransportKind};

/// The members of an entry while it is written.
type Members = Vec<(String, Output)>;

pub(super) fn write(format: Format, server: &Server, secrets: Secrets) -> Result<Output, Error> {
    let entry = Entry {
        format,
        server,
        secrets,
    };
    let mut members: Members = Vec::new();
    match &server.launch {
        Launch::Stdio { command, args, cwd } => entry.local(&mut members, command, args, cwd.as_ref())?,
        Launch::Http { url, transport } => entry.remote(&mut members, url, *transport)?,
        Launch::Container {
            image,
            args,
            volumes,
            network,
            user,
        } => {
            let mut words: Vec<Text> = ["run", "-i", "--rm"].map(Text::from).into();
            for name in server.env.keys() {
                words.extend(["-e".into(), Text::from(name.as_str())]);
            }
            for volume in volumes {
                words.extend(["-v".into(), volume.clone()]);
            }
            for (option, value) in [("--network", network), ("-u", user)] {
                words.extend(value.iter().flat_map(|value| [Text::from(option), value.clone()]));
            }
            words.push(image.clone());
            words.extend(args.iter().cloned());
            entry.local(&mut members, &"docker".into(), &words, None)?;
        }
        Launch::Bundle { .. } => return Err(unwritable(&server.name, "client files hold no bundles")),
    }
    entry.settings(&mut members);
    Ok(Output::Map(members))
}

struct Entry<'a> {
    format: Format,
    server: &'a Server,
    secrets: Secrets,
}

fn put(members: &mut Members, key: &str, value: impl Into<Output>) {
    members.push((key.to_owned(), value.into()));
}

impl Entry<'_> {
    fn text(&self, value: &Text) -> Result<String, Error> {
        text(self.format, self.server, value, self.secrets)
    }

    fn texts(&self, values: &[Text]) -> Result<Output, Error> {
        let texts = values.iter().map(|value| self.text(value).map(Output::Text));
        texts.collect::<Result<_, _>>().map(Output::List)
    }

    /// Returns the input that is the whole text, if it is to stay an input.
    fn asked(&self, value: &Text) -> Option<&Input> {
        let input = self.server.input(value.whole_input()?)?;
        (self.secrets == Secrets::Placeholders || input.value.is_none()).then_some(input)
    }

    fn local(&self, members: &mut Members, command: &Text, args: &[Text], cwd: Option<&Text>) -> Result<(), Error> {
        match self.format {
            Format::Opencode => {
                put(members, "type", "local");
                let words: Vec<Text> = [command].into_iter().chain(args).cloned().collect();
                put(members, "command", self.texts(&words)?);
            }
            Format::Goose => {
                put(members, "type", "stdio");
                put(members, "name", self.server.name.as_str());
                put(members, "cmd", self.text(command)?.as_str());
                put(members, "args", self.texts(args)?);
            }
            _ => {
                if self.format == Format::Continue {
                    put(members, "name", self.server.name.as_str());
                }
                if matches!(self.format, Format::Vscode | Format::Copilot) {
                    put(members, "type", "stdio");
                }
                put(members, "command", self.text(command)?.as_str());
                put(members, "args", self.texts(args)?);
            }
        }
        if let Some(cwd) = cwd {
            if matches!(self.format, Format::Claude | Format::Zed | Format::Goose) {
                return Err(unwritable(
                    &self.server.name,
                    format!("{} has no working directory", self.format),
                ));
            }
            put(members, "cwd", self.text(cwd)?.as_str());
        }
        self.environment(members)
    }

    fn environment(&self, members: &mut Members) -> Result<(), Error> {
        let (mut values, mut names) = (Members::new(), Vec::new());
        for (name, value) in &self.server.env {
            // A variable that is passed on under its own name.
            let same = self.asked(value).filter(|input| variable(input) == *name);
            match (self.format, same, self.asked(value)) {
                (Format::Codex | Format::Goose, Some(_), _) => names.push(Output::Text(name.clone())),
                (Format::Codex | Format::Goose, None, Some(_)) => {
                    return Err(unwritable(
                        &self.server.name,
                        format!("{name} cannot have the value of a variable of another name"),
                    ));
                }
                _ => put(&mut values, name, self.text(value)?.as_str()),
            }
        }
        let (value_key, name_key) = match self.format {
            Format::Opencode => ("environment", ""),
            Format::Goose => ("envs", "env_keys"),
            _ => ("env", "env_vars"),
        };
        if !names.is_empty() {
            put(members, name_key, Output::List(names));
        }
        if self.format == Format::Vscode {
            // `null` cannot be written in all languages; VS Code takes a variable away by it.
            if let Some(name) = self.server.env_unset.first() {
                return Err(unwritable(
                    &self.server.name,
                    format!("taking {name} away is not written"),
                ));
            }
        }
        if !values.is_empty() {
            put(members, value_key, Output::Map(values));
        }
        Ok(())
    }

    fn remote(&self, members: &mut Members, url: &Text, transport: TransportKind) -> Result<(), Error> {
        if matches!(self.format, Format::Goose | Format::Continue) {
            put(members, "name", self.server.name.as_str());
        }
        if let Some(kind) = self.kind(transport)? {
            put(members, "type", kind);
        }
        let key = match self.format {
            Format::Windsurf => "serverUrl",
            Format::Goose => "uri",
            _ => "url",
        };
        put(members, key, self.text(url)?.as_str());
        self.headers(members)
    }

    /// Returns the type name of a transport. `None` where the client needs none.
    fn kind(&self, transport: TransportKind) -> Result<Option<&'static str>, Error> {
        use TransportKind::{Either, Sse, StreamableHttp};
        let refuse = || {
            Err(unwritable(
                &self.server.name,
                format!("{} cannot say this transport", self.format),
            ))
        };
        match (self.format, transport) {
            (Format::Claude | Format::Vscode | Format::Gemini | Format::Copilot | Format::Cursor, StreamableHttp) => {
                Ok(Some("http"))
            }
            (Format::Windsurf, StreamableHttp) => Ok(Some("http")),
            (Format::Cline, StreamableHttp) => Ok(Some("streamableHttp")),
            (Format::Roo | Format::Continue | Format::Librechat, StreamableHttp) => Ok(Some("streamable-http")),
            (Format::Goose, StreamableHttp | Either) => Ok(Some("streamable_http")),
            (Format::Codex | Format::Zed, StreamableHttp | Either) => Ok(None),
            (Format::Opencode, StreamableHttp | Either) => Ok(Some("remote")),
            (Format::Codex | Format::Zed | Format::Goose | Format::Opencode, Sse) => refuse(),
            (_, Sse) => Ok(Some("sse")),
            (Format::Vscode | Format::Cursor | Format::Windsurf | Format::Gemini | Format::Continue, Either) => {
                Ok(None)
            }
            (Format::Claude | Format::Copilot, Either) => Ok(Some("http")),
            (Format::Cline, Either) => Ok(Some("streamableHttp")),
            (Format::Roo | Format::Librechat, Either) => Ok(Some("streamable-http")),
            _ => refuse(),
        }
    }

    fn headers(&self, members: &mut Members) -> Result<(), Error> {
        let (mut values, mut variables, mut keys) = (Members::new(), Members::new(), Vec::new());
        for (name, value) in &self.server.headers {
            match (self.format, self.asked(value), value.parts()) {
                (Format::Codex, Some(input), _) => put(&mut variables, name, variable(input).as_str()),
                (Format::Codex, None, [Part::Literal(scheme), Part::Input(input)])
                    if scheme == "Bearer " && name == "Authorization" =>
                {
                    match self
                        .server
                        .input(input)
                        .filter(|_| self.asked(&Text::input(input)).is_some())
                    {
                        Some(input) => put(members, "bearer_token_env_var", variable(input).as_str()),
                        None => put(&mut values, name, self.text(value)?.as_str()),
                    }
                }
                _ => {
                    for input in value.inputs().filter_map(|input| self.asked(&Text::input(input))) {
                        keys.push(variable(input));
                    }
                    put(&mut values, name, self.text(value)?.as_str());
                }
            }
        }
        if self.format == Format::Goose && !keys.is_empty() {
            keys.dedup();
            put(members, "env_keys", Output::texts(&keys));
        }
        match self.format {
            _ if values.is_empty() => {}
            Format::Continue => put(
                members,
                "requestOptions",
                Output::map([("headers", Output::Map(values))]),
            ),
            Format::Codex => put(members, "http_headers", Output::Map(values)),
            _ => put(members, "headers", Output::Map(values)),
        }
        if !variables.is_empty() {
            put(members, "env_http_headers", Output::Map(variables));
        }
        Ok(())
    }

    /// What the client has a key for beside the launch. Scalars stand before maps, as TOML wants them.
    fn settings(&self, members: &mut Members) {
        let mut settings = Members::new();
        let server = self.server;
        match self.format {
            Format::Goose => put(&mut settings, "enabled", Output::Bool(server.enabled)),
            Format::Codex | Format::Zed | Format::Opencode if !server.enabled => {
                put(&mut settings, "enabled", Output::Bool(false))
            }
            Format::Cline | Format::Roo | Format::Windsurf if !server.enabled => {
                put(&mut settings, "disabled", Output::Bool(true))
            }
            _ => {}
        }
        #[allow(clippy::cast_precision_loss)]
        let time = |millis: u64, unit: f64| Output::Number(millis as f64 / unit);
        let (start, call) = match self.format {
            Format::Codex => (
                Some(("startup_timeout_sec", 1_000.0)),
                Some(("tool_timeout_sec", 1_000.0)),
            ),
            Format::Cline | Format::Roo | Format::Zed | Format::Goose => (None, Some(("timeout", 1_000.0))),
            Format::Claude | Format::Gemini | Format::Copilot | Format::Opencode => (None, Some(("timeout", 1.0))),
            Format::Librechat => (Some(("initTimeout", 1.0)), Some(("timeout", 1.0))),
            Format::Continue => (Some(("connectionTimeout", 1.0)), None),
            _ => (None, None),
        };
        for (limit, key) in [(server.timeouts.start, start), (server.timeouts.call, call)] {
            if let (Some(millis), Some((key, unit))) = (limit, key) {
                put(&mut settings, key, time(millis, unit));
            }
        }
        let (only, never, unasked) = match self.format {
            Format::Codex => ("enabled_tools", "disabled_tools", ""),
            Format::Gemini => ("includeTools", "excludeTools", ""),
            Format::Copilot => ("tools", "", ""),
            Format::Cline => ("", "", "autoApprove"),
            Format::Roo => ("", "disabledTools", "alwaysAllow"),
            Format::Windsurf => ("", "disabledTools", ""),
            Format::Goose => ("available_tools", "", ""),
            _ => ("", "", ""),
        };
        match &server.tools.only {
            Some(tools) if !only.is_empty() => put(&mut settings, only, Output::texts(tools)),
            // The cloud agent of Copilot requires the list.
            None if self.format == Format::Copilot => put(&mut settings, only, Output::List(vec!["*".into()])),
            _ => {}
        }
        for (key, tools) in [(never, &server.tools.never), (unasked, &server.tools.unasked)] {
            if !key.is_empty() && !tools.is_empty() {
                put(&mut settings, key, Output::texts(tools));
            }
        }
        self.user_variables(&mut settings);
        let maps = members
            .iter()
            .position(|(_, value)| matches!(value, Output::Map(_)))
            .unwrap_or(members.len());
        members.splice(maps..maps, settings);
    }

    /// What each user of LibreChat sets.
    fn user_variables(&self, settings: &mut Members) {
        let users = self
            .server
            .inputs
            .iter()
            .filter(|input| input.source == InputSource::User);
        let variables: Members = users
            .map(|input| {
                let title = input.title.as_deref().unwrap_or(&input.name);
                let declared = Output::map([
                    ("title", title.into()),
                    ("description", input.description.as_deref().unwrap_or(title).into()),
                    ("sensitive", Output::Bool(input.secret)),
                ]);
                (variable(input), declared)
            })
            .collect();
        if self.format == Format::Librechat && !variables.is_empty() {
            put(settings, "customUserVars", Output::Map(variables));
        }
    }
}
