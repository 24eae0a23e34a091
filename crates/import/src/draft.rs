//! A server while it is put together: secrets are taken out, inputs are joined, warnings are collected.

use portolan_core::Secret;

use crate::names::{has_local_path, is_authorization, is_local_path, is_secret, is_secret_flag};
use crate::placeholder::{Found, FoundInput, Piece, Scan, looks_like_one, split};
use crate::{Input, InputSource, Launch, MAX_BYTES, Part, Reason, Server, Text, TransportKind, Warning, WarningKind};

/// The most inputs of a server.
const MAX_INPUTS: usize = 1_000;

/// The most warnings of a server; further ones are left out.
const MAX_WARNINGS: usize = 1_000;

/// Where a text stands.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In the environment variable of this name.
    Env(&'a str),
    /// In the header of this name.
    Header(&'a str),
    /// Where all inputs are secret.
    Secret,
    /// Elsewhere.
    Plain,
}

/// A server in the making.
pub(crate) struct Draft {
    pub(crate) server: Server,
}

impl Draft {
    pub(crate) fn new(name: &str, line: u32) -> Self {
        let launch = Launch::Stdio {
            command: Text::default(),
            args: Vec::new(),
            cwd: None,
        };
        let mut server = Server::new(name, launch);
        server.line = line;
        Self { server }
    }

    pub(crate) fn warn(&mut self, kind: WarningKind) {
        self.warn_at(kind, self.server.line);
    }

    pub(crate) fn warn_at(&mut self, kind: WarningKind, line: u32) {
        let known = self.server.warnings.iter().any(|known| known.kind == kind);
        if !known && self.server.warnings.len() < MAX_WARNINGS {
            self.server.warnings.push(Warning { kind, line });
        }
    }

    pub(crate) fn ignore(&mut self, unread: Vec<(String, u32)>) {
        for (key, line) in unread {
            self.warn_at(WarningKind::IgnoredKey(key), line);
        }
    }

    /// Adds an input, or joins it with the one of this name.
    pub(crate) fn add_input(&mut self, input: Input) {
        let Some(known) = self.server.inputs.iter_mut().find(|known| known.name == input.name) else {
            self.server.inputs.push(input);
            return;
        };
        known.secret |= input.secret;
        known.required |= input.required;
        let differs = matches!((&known.default, &input.default), (Some(known), Some(other)) if known != other);
        if known.default.is_none() {
            known.default = input.default;
        }
        if known.value.is_none() && input.value.is_some() {
            known.value = input.value;
            known.source = input.source;
        }
        if differs {
            self.warn(WarningKind::SeveralDefaults(input.name));
        }
    }

    /// Puts inputs in the place of placeholders.
    pub(crate) fn expand(&mut self, text: &str, place: Place<'_>, scan: &Scan<'_>) -> Result<Text, Reason> {
        let whole = scan(text).is_some_and(|(length, _)| length == text.len());
        let (mut expanded, mut length) = (Text::default(), 0);
        for piece in split(text, scan) {
            if length > MAX_BYTES || self.server.inputs.len() > MAX_INPUTS {
                return Err(Reason::TooLarge);
            }
            match piece {
                Piece::Plain(plain) => {
                    if looks_like_one(plain) {
                        self.warn(WarningKind::NotExpanded);
                    }
                    expanded.push(Part::Literal(plain.to_owned()));
                }
                Piece::Found(Found::Literal(literal)) => {
                    length += literal.len();
                    expanded.push(Part::Literal(literal));
                }
                Piece::Found(Found::Undeclared(id)) => return Err(Reason::UndeclaredInput(id)),
                Piece::Found(Found::Input(found)) => {
                    expanded.push(Part::Input(found.input.name.clone()));
                    self.found(*found, place, whole);
                }
            }
        }
        Ok(expanded)
    }

    /// Puts inputs in the place of placeholders. What merely looks like one is as it should be.
    pub(crate) fn expand_quietly(&mut self, text: &str, place: Place<'_>, scan: &Scan<'_>) -> Result<Text, Reason> {
        let known = self
            .server
            .warnings
            .iter()
            .any(|warning| warning.kind == WarningKind::NotExpanded);
        let expanded = self.expand(text, place, scan)?;
        if !known {
            self.server
                .warnings
                .retain(|warning| warning.kind != WarningKind::NotExpanded);
        }
        Ok(expanded)
    }

    /// Adds an input that is the whole text at `place`.
    pub(crate) fn add_found(&mut self, input: Input, secret: Option<bool>, place: Place<'_>) {
        self.found(FoundInput { input, secret }, place, true);
    }

    /// Makes the inputs of a text secret where their place does.
    pub(crate) fn secret_by_place(&mut self, text: &Text, place: Place<'_>) {
        let Place::Env(name) = place else { return };
        if let Some(whole) = text.whole_input().filter(|_| is_secret(name)) {
            for input in self.server.inputs.iter_mut().filter(|input| input.name == whole) {
                input.secret = true;
            }
        }
    }

    /// Returns the text of an environment variable, or an input if it is a secret.
    pub(crate) fn safe_env(&mut self, name: &str, text: Text) -> Text {
        match text.literal() {
            Some(literal) if is_secret(name) => {
                let literal = literal.to_owned();
                self.literal(name, &literal)
            }
            _ => text,
        }
    }

    fn found(&mut self, found: FoundInput, place: Place<'_>, whole: bool) {
        let mut input = found.input;
        let by_place = match place {
            Place::Header(header) if is_authorization(header) => true,
            Place::Env(name) | Place::Header(name) => whole && is_secret(name),
            Place::Secret => true,
            Place::Plain => false,
        };
        let knows = matches!(input.source, InputSource::Client | InputSource::Caller);
        input.secret = found
            .secret
            .unwrap_or_else(|| is_secret(&input.name) || (by_place && !knows));
        if input
            .default
            .as_ref()
            .and_then(|default| default.as_str())
            .is_some_and(|default| default.contains("${"))
            && input.source == InputSource::Environment
        {
            self.warn(WarningKind::NestedDefault);
        }
        self.add_input(input);
    }

    /// Returns the text of a secret that the file holds: an input in its place.
    pub(crate) fn literal(&mut self, name: &str, value: &str) -> Text {
        let mut input = Input::new(name, InputSource::Environment);
        input.secret = true;
        if !value.is_empty() {
            input.source = InputSource::Literal;
            input.value = Some(Secret::new(value));
            self.warn(WarningKind::SecretInFile);
        }
        self.add_input(input);
        Text::input(name)
    }

    /// Sets an environment variable.
    pub(crate) fn env(&mut self, name: &str, value: &str, scan: &Scan<'_>) -> Result<(), Reason> {
        let text = self.env_text(name, value, scan)?;
        self.server.env.insert(name.to_owned(), text);
        Ok(())
    }

    pub(crate) fn env_text(&mut self, name: &str, value: &str, scan: &Scan<'_>) -> Result<Text, Reason> {
        let text = self.expand(value, Place::Env(name), scan)?;
        Ok(self.safe_env(name, text))
    }

    /// Sets an environment variable to what the environment of the client has under the same name.
    pub(crate) fn pass_env(&mut self, name: &str, source: InputSource, secret: bool) {
        let mut input = Input::new(name, source);
        input.secret = secret;
        self.add_input(input);
        self.server.env.insert(name.to_owned(), Text::input(name));
    }

    /// Sets a header.
    pub(crate) fn header(&mut self, name: &str, value: &str, scan: &Scan<'_>) -> Result<(), Reason> {
        let text = self.expand(value, Place::Header(name), scan)?;
        self.header_text(name, text);
        Ok(())
    }

    /// Sets a header whose placeholders were replaced.
    pub(crate) fn header_text(&mut self, name: &str, text: Text) {
        let safe = match text.literal() {
            Some(literal) if is_authorization(name) || is_secret(name) => {
                let literal = literal.to_owned();
                self.secret_header(name, &literal)
            }
            _ => text,
        };
        self.server.headers.insert(name.to_owned(), safe);
    }

    /// An `Authorization` header keeps its scheme; of other headers, the whole value is secret.
    fn secret_header(&mut self, name: &str, value: &str) -> Text {
        let input = self.header_input(name);
        match value.trim().split_once(' ') {
            Some((scheme, secret)) if is_authorization(name) => {
                let mut text = Text::from(format!("{scheme} "));
                text.push_text(&self.literal(&input, secret.trim()));
                text
            }
            _ => self.literal(&input, value),
        }
    }

    /// Returns the name of the input for the value of a header.
    pub(crate) fn header_input(&self, header: &str) -> String {
        format!("{}-{}", self.server.name, header.to_ascii_lowercase())
    }

    /// Sets the launch to a server at a URL. Secrets in the URL become inputs.
    pub(crate) fn remote(&mut self, url: &str, transport: TransportKind, scan: &Scan<'_>) -> Result<(), Reason> {
        let expanded = self.url(url, scan)?;
        if transport == TransportKind::Sse {
            self.warn(WarningKind::OldTransport);
        }
        self.server.launch = Launch::Http {
            url: expanded,
            transport,
        };
        Ok(())
    }

    /// A URL that is not HTTP is of an unsupported transport, unless it begins with a placeholder.
    pub(crate) fn url(&mut self, url: &str, scan: &Scan<'_>) -> Result<Text, Reason> {
        if let Some((scheme, _)) = url.split_once("://") {
            let plain = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            if plain && !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return Err(Reason::UnsupportedTransport);
            }
        }
        let mut text = Text::default();
        let (base, query) = url
            .split_once('?')
            .map_or((url, None), |(base, query)| (base, Some(query)));
        text.push_text(&self.expand(base, Place::Plain, scan)?);
        for (index, pair) in query.iter().flat_map(|query| query.split('&')).enumerate() {
            text.push(Part::Literal(if index == 0 { "?" } else { "&" }.to_owned()));
            let (name, value) = pair
                .split_once('=')
                .map_or((pair, None), |(name, value)| (name, Some(value)));
            text.push_text(&self.expand(name, Place::Plain, scan)?);
            let Some(value) = value else { continue };
            text.push(Part::Literal("=".into()));
            let place = if is_secret(name) {
                Place::Env(name)
            } else {
                Place::Plain
            };
            let expanded = self.expand(value, place, scan)?;
            let safe = match expanded.literal() {
                Some(literal) if is_secret(name) && !literal.is_empty() => {
                    let literal = literal.to_owned();
                    self.literal(&format!("{}-{name}", self.server.name), &literal)
                }
                _ => expanded,
            };
            text.push_text(&safe);
        }
        Ok(self.without_password(text))
    }

    /// Takes a password out of `https://user:password@host`.
    fn without_password(&mut self, url: Text) -> Text {
        let Some(Part::Literal(start)) = url.parts().first().cloned() else {
            return url;
        };
        let Some((scheme, rest)) = start.split_once("://") else {
            return url;
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let Some((user, password)) = authority.rsplit_once('@').and_then(|(info, _)| info.split_once(':')) else {
            return url;
        };
        let after = rest[user.len() + 1 + password.len()..].to_owned();
        let mut text = Text::from(format!("{scheme}://{user}:"));
        text.push_text(&self.literal(&format!("{}-password", self.server.name), password));
        text.push(Part::Literal(after));
        for part in &url.parts()[1..] {
            text.push(part.clone());
        }
        text
    }

    /// Expands the arguments of a command. Values of flags that name a secret become inputs.
    pub(crate) fn arguments(&mut self, args: &[String], scan: &Scan<'_>) -> Result<Vec<Text>, Reason> {
        let mut texts = Vec::with_capacity(args.len());
        let mut secret_flag: Option<&str> = None;
        for arg in args {
            let flag = secret_flag.take();
            let text = self.expand(arg, if flag.is_some() { Place::Secret } else { Place::Plain }, scan)?;
            let text = match (text.literal(), flag, arg.split_once('=')) {
                (Some(value), Some(flag), _)
                    if !value.is_empty() && !value.starts_with('-') && !is_local_path(value) =>
                {
                    self.secret_argument("", flag, value)
                }
                (Some(_), _, Some((flag, value)))
                    if flag.starts_with('-') && is_secret_flag(flag) && !value.is_empty() && !is_local_path(value) =>
                {
                    self.secret_argument(&format!("{flag}="), flag, value)
                }
                _ => text,
            };
            if arg.starts_with('-') && !arg.contains('=') && is_secret_flag(arg) {
                secret_flag = Some(arg);
            }
            texts.push(text);
        }
        Ok(texts)
    }

    fn secret_argument(&mut self, before: &str, flag: &str, value: &str) -> Text {
        let name = format!(
            "{}-{}",
            self.server.name,
            flag.trim_start_matches('-').to_ascii_lowercase()
        );
        let mut text = Text::from(before);
        text.push_text(&self.literal(&name, value));
        text
    }

    /// Warns of secrets in arguments.
    pub(crate) fn check_arguments(&mut self, args: &[Text]) {
        let secret = |name: &str| self.server.input(name).is_some_and(|input| input.secret);
        if args.iter().flat_map(Text::inputs).any(secret) {
            self.warn(WarningKind::SecretInArgument);
        }
    }

    /// Warns of paths in a command line.
    pub(crate) fn check_paths<'t>(&mut self, texts: impl IntoIterator<Item = &'t Text>) {
        let mut paths = texts.into_iter().filter_map(|text| match text.parts().first() {
            Some(Part::Literal(start)) => Some(start),
            _ => None,
        });
        if paths.any(|text| has_local_path(text)) {
            self.warn(WarningKind::LocalPath);
        }
    }
}
