//! A server of a file as an entry of Portolan's catalogue, with the answers of its install.

use portolan_core::{Answers, Delivery, Field, FieldKey, FieldKind, ServerName, ServerSpec, Source, Transport};
use url::Url;

use crate::{Input, InputSource, Launch, Part, Server, Text, TransportKind};

/// A server for the catalogue, and what its install needs.
///
/// Made by [`Server::installable`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Installable {
    /// The entry of the catalogue. It holds no secret.
    pub spec: ServerSpec,
    /// The answers that the file holds: its literal secrets.
    pub answers: Answers,
    /// What the catalogue cannot hold.
    pub unmapped: Vec<Unmapped>,
}

/// A part of a server that Portolan's catalogue cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmapped {
    /// The member, such as `env.REGION`, `launch.cwd` or `timeouts`.
    pub member: String,
    /// Why it cannot be held, and what to do.
    pub reason: String,
    /// The line of the file on which the server begins, from 1.
    pub line: u32,
}

impl std::fmt::Display for Unmapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.member, self.reason)
    }
}

impl std::error::Error for Unmapped {}

impl Server {
    /// Makes an entry of the catalogue of it.
    ///
    /// The name becomes a slug. Secrets that the file holds are in the answers, all others are fields to ask for.
    ///
    /// ```
    /// use portolan_import::{Format, import};
    ///
    /// let text = r#"{"mcpServers": {"My Notes": {"command": "notes-mcp", "env": {"NOTES_KEY": "k-0000-not-a-real-key"}}}}"#;
    /// let made = import(Format::Claude, text)?.servers[0].installable()?;
    /// assert_eq!(made.spec.name.as_str(), "my-notes");
    /// assert_eq!(made.answers.secrets()["NOTES_KEY"].reveal(), "k-0000-not-a-real-key");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unmapped`] for a server that Portolan cannot run or reach: HTTP+SSE alone, a bundle, a secret in the command line, a URL
    /// that depends on an input.
    pub fn installable(&self) -> Result<Installable, Unmapped> {
        Conversion {
            server: self,
            fields: Vec::new(),
            answers: Answers::new(),
            unmapped: Vec::new(),
        }
        .run()
    }
}

struct Conversion<'a> {
    server: &'a Server,
    fields: Vec<Field>,
    answers: Answers,
    unmapped: Vec<Unmapped>,
}

impl Conversion<'_> {
    fn refuse(&self, member: &str, reason: impl Into<String>) -> Unmapped {
        Unmapped {
            member: member.to_owned(),
            reason: reason.into(),
            line: self.server.line,
        }
    }

    fn note(&mut self, member: &str, reason: impl Into<String>) {
        let note = self.refuse(member, reason);
        self.unmapped.push(note);
    }

    fn run(mut self) -> Result<Installable, Unmapped> {
        let name =
            ServerName::parse(slug(&self.server.name)).map_err(|error| self.refuse("name", error.to_string()))?;
        let source = self.source()?;
        let remote = source.transport().is_none();
        let mut spec = ServerSpec::new(name, source).map_err(|error| self.refuse("launch", error.to_string()))?;
        if remote {
            for (name, text) in &self.server.headers {
                match text.literal() {
                    Some(literal) => {
                        spec.headers.insert(name.clone(), literal.to_owned());
                    }
                    None => self.header(name, text),
                }
            }
        } else {
            for (name, text) in &self.server.env {
                self.env(name, text);
            }
        }
        self.rest(remote);
        let slugged = (spec.name.as_str() != self.server.name).then(|| self.server.name.clone());
        spec.title = self.server.title.clone().or(slugged);
        spec.description.clone_from(&self.server.description);
        spec.version.clone_from(&self.server.version);
        spec.fields = self.fields;
        spec.check().map_err(|error| Unmapped {
            member: "server".into(),
            reason: error.to_string(),
            line: self.server.line,
        })?;
        Ok(Installable {
            spec,
            answers: self.answers,
            unmapped: self.unmapped,
        })
    }

    fn source(&mut self) -> Result<Source, Unmapped> {
        match &self.server.launch {
            Launch::Stdio { command, args, cwd } => {
                if cwd.is_some() {
                    self.note(
                        "launch.cwd",
                        "servers start in a directory of their own; give paths as arguments",
                    );
                }
                Ok(Source::Command {
                    program: self.plain("launch.command", command)?,
                    args: self.arguments(args)?,
                    transport: self.transport()?,
                })
            }
            Launch::Http {
                transport: TransportKind::Sse,
                ..
            } => Err(self.refuse(
                "launch.transport",
                "HTTP+SSE is not supported; look for a streamable HTTP endpoint",
            )),
            Launch::Http { url, .. } => {
                let url = self.plain("launch.url", url)?;
                let url = Url::parse(&url).map_err(|error| self.refuse("launch.url", error.to_string()))?;
                Ok(Source::Remote { url })
            }
            Launch::Container {
                image,
                args,
                volumes,
                network,
                user,
            } => {
                for (member, set) in [
                    ("launch.volumes", !volumes.is_empty()),
                    ("launch.network", network.is_some()),
                    ("launch.user", user.is_some()),
                ] {
                    if set {
                        self.note(
                            member,
                            "the runtime decides it; see the options of the server for Kubernetes",
                        );
                    }
                }
                Ok(Source::Image {
                    image: self.plain("launch.image", image)?,
                    program: None,
                    args: self.arguments(args)?,
                    transport: self.transport()?,
                })
            }
            Launch::Bundle { .. } => {
                Err(self.refuse("launch", "bundles are not installed; run the bundle's command instead"))
            }
        }
    }

    /// The transport of a program: standard input and output, or a port that the file fixes.
    fn transport(&self) -> Result<Transport, Unmapped> {
        let Some(Launch::Http { url, transport }) = &self.server.serves else {
            return Ok(Transport::Stdio);
        };
        if *transport == TransportKind::Sse {
            return Err(self.refuse("serves", "HTTP+SSE is not supported"));
        }
        let url = url.literal().and_then(|url| Url::parse(url).ok());
        let place = url.and_then(|url| Some((url.port_or_known_default()?, url.path().to_owned())));
        let (port, path) =
            place.ok_or_else(|| self.refuse("serves", "the port is an input; fix it in the arguments"))?;
        Ok(Transport::Http { port, path })
    }

    /// Returns a text in which no input stands, or only such with a default, which takes their place.
    fn plain(&mut self, member: &str, text: &Text) -> Result<String, Unmapped> {
        let mut plain = String::new();
        for part in text.parts() {
            let Part::Input(name) = part else {
                if let Part::Literal(literal) = part {
                    plain.push_str(literal);
                }
                continue;
            };
            let default = self
                .server
                .input(name)
                .filter(|input| !input.secret)
                .and_then(default_text);
            let default = default
                .ok_or_else(|| self.refuse(member, format!("depends on the input {name:?}; write its value there")))?;
            self.note(member, format!("the default of {name:?} is fixed here"));
            plain.push_str(&default);
        }
        Ok(plain)
    }

    fn arguments(&mut self, args: &[Text]) -> Result<Vec<String>, Unmapped> {
        let mut words = Vec::with_capacity(args.len());
        for text in args {
            let mut word = String::new();
            for part in text.parts() {
                match part {
                    Part::Literal(literal) if literal.contains("${user_config.") => {
                        return Err(self.refuse("launch.args", "hold text that Portolan would read as a placeholder"));
                    }
                    Part::Literal(literal) => word.push_str(literal),
                    Part::Input(name) => {
                        let Some(input) = self.server.input(name) else { continue };
                        if input.secret {
                            return Err(self.refuse(
                                "launch.args",
                                format!("{name:?} is a secret, and process lists show arguments"),
                            ));
                        }
                        if input.repeated {
                            self.note(
                                "launch.args",
                                format!("{name:?} may have several values; one is asked for"),
                            );
                        }
                        if let Some(key) = self.field(input, "argument", Delivery::Argument) {
                            word.push_str("${user_config.");
                            word.push_str(&key);
                            word.push('}');
                        }
                    }
                }
            }
            words.push(word);
        }
        Ok(words)
    }

    fn env(&mut self, name: &str, text: &Text) {
        let delivery = Delivery::Env { name: name.to_owned() };
        match (
            text.literal(),
            text.whole_input().and_then(|input| self.server.input(input)),
        ) {
            (Some(literal), _) => {
                let mut input = Input::new(name, InputSource::Literal);
                input.required = false;
                input.default = Some(literal.into());
                self.field(&input, name, delivery);
            }
            (_, Some(input)) => {
                self.field(input, name, delivery);
            }
            _ => self.note(
                &format!("env.{name}"),
                "a value with an input inside is not supported; set the whole value at install",
            ),
        }
    }

    fn header(&mut self, name: &str, text: &Text) {
        let (prefix, input) = match text.parts() {
            [Part::Input(input)] => (String::new(), input),
            [Part::Literal(prefix), Part::Input(input)] => (prefix.clone(), input),
            _ => {
                return self.note(
                    &format!("headers.{name}"),
                    "only one input at the end is supported; set the header at install",
                );
            }
        };
        if let Some(input) = self.server.input(input) {
            self.field(
                input,
                name,
                Delivery::Header {
                    name: name.to_owned(),
                    prefix,
                },
            );
        }
    }

    /// Adds a field for an input, and its answer. Returns its key; an argument that is asked for twice has one field.
    fn field(&mut self, input: &Input, place: &str, delivery: Delivery) -> Option<String> {
        let taken = |key: &str| self.fields.iter().find(|field| field.key.as_str() == key);
        let mut key = input.name.clone();
        if let Some(known) = taken(&key) {
            if known.delivery == delivery {
                return Some(key);
            }
            key = format!("{} ({place})", input.name);
            if taken(&key).is_some() {
                return Some(key);
            }
        }
        let Ok(parsed) = FieldKey::parse(&key) else {
            self.note(&format!("inputs.{key}"), "its name is too long for a field");
            return None;
        };
        let mut field = Field::new(parsed, delivery);
        field.title.clone_from(&input.title);
        field.description.clone_from(&input.description);
        field.required = input.required;
        field.secret = input.secret;
        field.kind = match input.format.as_deref() {
            Some("number") => FieldKind::Number,
            Some("boolean") => FieldKind::Boolean,
            _ => FieldKind::Text,
        };
        if !input.choices.is_empty() {
            self.note(&format!("inputs.{key}"), "its choices are not kept; any text is taken");
        }
        match (default_text(input), &input.value) {
            (_, Some(value)) if input.secret => {
                self.answers = std::mem::take(&mut self.answers).secret(&key, value.clone())
            }
            (Some(default), _) if input.secret => {
                self.answers = std::mem::take(&mut self.answers).secret(&key, default)
            }
            (Some(default), _) if field.check_answer(&default).is_ok() => field.default = Some(default),
            (Some(_), _) => self.note(&format!("inputs.{key}"), "its default does not fit its format"),
            (None, _) if input.default.is_some() => self.note(&format!("inputs.{key}"), "its default is a list"),
            _ => {}
        }
        self.fields.push(field);
        Some(key)
    }

    /// Notes what no catalogue entry holds.
    fn rest(&mut self, remote: bool) {
        let server = self.server;
        for (member, set, reason) in [
            (
                "env",
                remote && !server.env.is_empty(),
                "a server at a URL has no environment",
            ),
            (
                "headers",
                !remote && !server.headers.is_empty(),
                "a server over stdio has no headers",
            ),
            (
                "envUnset",
                !server.env_unset.is_empty(),
                "servers inherit nothing; there is nothing to take away",
            ),
            (
                "enabled",
                !server.enabled,
                "that client would not start it; leave it out of gateways",
            ),
            (
                "tools",
                !server.tools.is_default(),
                "tools are chosen in a gateway's assignment",
            ),
            (
                "timeouts",
                !server.timeouts.is_default(),
                "time limits are settings of the gateway",
            ),
            (
                "oauth",
                server.oauth.is_some(),
                "OAuth is set up with the credential broker",
            ),
            (
                "alternatives",
                !server.alternatives.is_empty(),
                "the first way is imported",
            ),
            ("platforms", !server.platforms.is_empty(), "the base is imported"),
            ("scope", server.scope.is_some(), "the catalogue has no project folders"),
        ] {
            if set {
                self.note(member, reason);
            }
        }
    }
}

fn default_text(input: &Input) -> Option<String> {
    match input.default.as_ref()? {
        serde_json::Value::String(text) => Some(text.clone()),
        value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns a name as a slug: lower-case letters and digits, single dashes between them, at most as long as a server's name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if slug.len() == ServerName::MAX_LEN {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}
