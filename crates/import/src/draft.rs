//! A server while it is read: fills in placeholders, and keeps secrets out of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    model::{ImportedServer, Input, Launch, OAuth},
    node::Node,
    placeholder::{Kind, Piece, Pieces, Syntax},
};

/// Why an entry is rejected.
pub(crate) type Reason = String;

/// A server while it is read.
pub(crate) struct Draft {
    pub(crate) server: ImportedServer,
    syntax: Syntax,
    /// Inputs that the file declares, by name.
    pub(crate) declared: BTreeMap<String, Input>,
    /// Variables with a known value that placeholders stand for, as Goose's `envs`.
    pub(crate) known: BTreeMap<String, String>,
    /// An input that is used and not declared.
    undeclared: Option<String>,
}

impl Draft {
    pub(crate) fn new(name: &str, syntax: Syntax) -> Self {
        let server = ImportedServer {
            name: name.to_owned(),
            enabled: true,
            ..ImportedServer::default()
        };
        Self {
            server,
            syntax,
            declared: BTreeMap::new(),
            known: BTreeMap::new(),
            undeclared: None,
        }
    }

    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.server.warnings.contains(&warning) {
            self.server.warnings.push(warning);
        }
    }

    /// Adds an input and returns the reference to it. Of two with one name the first is kept.
    pub(crate) fn input(&mut self, input: Input) -> String {
        let reference = format!("<<{}>>", input.name);
        match self.server.inputs.iter_mut().find(|known| known.name == input.name) {
            None => self.server.inputs.push(input),
            Some(known) => {
                let differs = known.default.is_some() && input.default.is_some() && known.default != input.default;
                known.secret |= input.secret;
                if differs {
                    self.warn(format!("several-defaults:{}", input.name));
                }
            }
        }
        reference
    }

    /// Adds an input of the environment.
    pub(crate) fn environment(&mut self, name: &str, secret: bool) -> String {
        self.input(Input {
            name: name.to_owned(),
            secret: secret || is_secret_name(name),
            required: true,
            source: "environment",
            ..Input::default()
        })
    }

    /// Fills in the placeholders of a text. `secret` marks the inputs in it as secrets.
    pub(crate) fn fill(&mut self, text: &str, secret: bool) -> String {
        self.fill_by(text, secret, self.syntax)
    }

    pub(crate) fn fill_by(&mut self, text: &str, secret: bool, syntax: Syntax) -> String {
        let found = Pieces::of(text, syntax);
        if found.not_expanded {
            self.warn("not-expanded");
        }
        if found.nested_default {
            self.warn("nested-default");
        }
        let mut out = String::with_capacity(text.len());
        for piece in found.pieces {
            match piece {
                Piece::Text(text) => out.push_str(&text),
                Piece::Variable { kind, name, default } => {
                    let filled = self.variable(kind, &name, default, secret);
                    out.push_str(&filled);
                }
            }
        }
        out
    }

    fn variable(&mut self, kind: Kind, name: &str, default: Option<String>, secret: bool) -> String {
        let by_name = secret || is_secret_name(name);
        let plain = |source, secret, required| Input {
            name: name.to_owned(),
            secret,
            required,
            source,
            ..Input::default()
        };
        match kind {
            Kind::Environment if self.syntax == Syntax::Goose => self.goose_variable(name, secret),
            Kind::Environment => {
                let required = default.is_none();
                let default = default.map(Value::String);
                self.input(Input {
                    default,
                    ..plain("environment", by_name, required)
                })
            }
            Kind::File => self.input(plain("file", is_secret_name(name), true)),
            Kind::Secret => self.input(plain("secret-store", true, true)),
            Kind::Prompt => self.input(plain("prompt", by_name, true)),
            Kind::Client => {
                self.warn("client-variable");
                self.input(plain("client", false, true))
            }
            Kind::Input => match self.declared.get(name).cloned() {
                Some(input) => self.input(input),
                None => {
                    self.undeclared.get_or_insert_with(|| name.to_owned());
                    String::new()
                }
            },
            Kind::Mustache => self.mustache(name, secret),
        }
    }

    /// `{{V}}` of LibreChat: a variable of each user, or what is known of the caller.
    fn mustache(&mut self, name: &str, secret: bool) -> String {
        if let Some(mut input) = self.declared.get(name).cloned() {
            input.secret |= secret && input.source == "user" && is_secret_name(name);
            return self.input(input);
        }
        let Some(field) = name.strip_prefix("LIBRECHAT_") else {
            self.warn("not-expanded");
            return format!("{{{{{name}}}}}");
        };
        let field = field.strip_prefix("USER_").unwrap_or(field).to_ascii_lowercase();
        self.input(Input {
            name: format!("caller.{field}"),
            required: true,
            source: "caller",
            ..Input::default()
        })
    }

    /// A variable of Goose: one of the entry's own.
    fn goose_variable(&mut self, name: &str, secret: bool) -> String {
        if let Some(input) = self.declared.get(name).cloned() {
            return self.input(input);
        }
        match self.known.get(name).cloned() {
            Some(value) if secret || is_secret_name(name) => self.literal(name, &value),
            Some(value) => value,
            None => {
                self.warn("not-expanded");
                format!("${{{name}}}")
            }
        }
    }

    /// Keeps a secret of the file out of the server: returns the reference to an input in its place.
    pub(crate) fn literal(&mut self, name: &str, value: &str) -> String {
        self.warn("secret-in-file");
        self.server.literals.insert(name.to_owned(), value.to_owned());
        self.input(Input {
            name: name.to_owned(),
            secret: true,
            required: true,
            source: "literal",
            ..Input::default()
        })
    }

    /// Sets an environment variable.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        let filled = self.fill(value, is_secret_name(name));
        self.plain_env(name, filled);
    }

    /// Sets an environment variable whose placeholders are filled in.
    pub(crate) fn plain_env(&mut self, name: &str, filled: String) {
        let filled = match filled {
            filled if !is_secret_name(name) || filled.contains("<<") => filled,
            filled if filled.is_empty() => self.environment(name, true),
            filled => self.literal(name, &filled),
        };
        self.server.env.insert(name.to_owned(), filled);
    }

    /// Sets a header.
    pub(crate) fn header(&mut self, name: &str, value: &str) {
        let secret = is_secret_header(name);
        let filled = self.fill(value, secret);
        self.filled_header(name, filled);
    }

    /// Sets a header whose placeholders are filled in.
    pub(crate) fn filled_header(&mut self, name: &str, filled: String) {
        let filled = match filled {
            filled if !is_secret_header(name) || filled.contains("<<") => filled,
            filled if filled.is_empty() => {
                let input = self.header_input_name(name);
                self.environment(&input, true)
            }
            filled => {
                let input = self.header_input_name(name);
                match filled.split_once(' ') {
                    Some((scheme, token)) if name.eq_ignore_ascii_case("authorization") => {
                        format!("{scheme} {}", self.literal(&input, token.trim()))
                    }
                    _ => self.literal(&input, &filled),
                }
            }
        };
        self.server.headers.insert(name.to_owned(), filled);
    }

    pub(crate) fn header_input_name(&self, header: &str) -> String {
        format!("{}-{}", self.server.name, header.to_ascii_lowercase())
    }

    /// Sets the URL.
    pub(crate) fn url(&mut self, url: &str, transport: &'static str) {
        let url = self.fill(url, false);
        let url = self.url_without_secrets(&url);
        self.filled_url(url, transport);
    }

    pub(crate) fn filled_url(&mut self, url: String, transport: &'static str) {
        if transport == "sse" {
            self.warn("old-transport");
        }
        self.server.launch = Some(Launch::Http { url, transport });
    }

    /// Takes the secrets out of the query of a URL.
    pub(crate) fn url_without_secrets(&mut self, url: &str) -> String {
        let Some((base, query)) = url.split_once('?') else {
            return url.to_owned();
        };
        let (query, fragment) = match query.split_once('#') {
            Some((query, fragment)) => (query, Some(fragment)),
            None => (query, None),
        };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) if is_secret_word(name) && !value.is_empty() && !value.contains("<<") => {
                format!("{name}={}", self.literal(name, value))
            }
            _ => pair.to_owned(),
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        let fragment = fragment.map(|text| format!("#{text}")).unwrap_or_default();
        format!("{base}?{query}{fragment}")
    }

    /// Reads the strings of OAuth.
    pub(crate) fn oauth(&mut self, from: &Node, keys: OAuthKeys) {
        let client_id = from.text_of(keys.client_id).map(|id| self.fill(id, false));
        let client_secret = from.text_of(keys.client_secret).map(|text| {
            let filled = self.fill(text, true);
            if filled.contains("<<") {
                return filled;
            }
            let name = format!("{}-client-secret", self.server.name);
            self.literal(&name, &filled)
        });
        let scopes = match from.get(keys.scopes) {
            Some(Node::Text(text)) => text.split_whitespace().map(ToOwned::to_owned).collect(),
            Some(Node::List(items)) => items.iter().filter_map(Node::scalar).collect(),
            _ => Vec::new(),
        };
        let url = |key: Option<&str>| key.and_then(|key| from.text_of(key)).map(ToOwned::to_owned);
        self.server.oauth = Some(OAuth {
            client_id,
            client_secret,
            scopes,
            resource: url(keys.resource),
            audience: from.texts("audiences").unwrap_or_default(),
            authorization_url: url(keys.authorization_url),
            token_url: url(keys.token_url),
        });
    }

    /// Warns of members that have no meaning here.
    pub(crate) fn ignore_others(&mut self, entry: &Node, known: &[&str]) {
        for (key, _) in entry.members() {
            if !known.contains(&key.as_str()) {
                self.warn(format!("ignored-key:{key}"));
            }
        }
    }

    /// Returns the finished server.
    pub(crate) fn finish(self) -> Result<ImportedServer, Reason> {
        match self.undeclared {
            Some(id) => Err(format!("undeclared-input:{id}")),
            None if self.server.launch.is_none() => Err("no-launch".to_owned()),
            None => Ok(self.server),
        }
    }
}

/// The names of OAuth's members in a client's file.
#[derive(Clone, Copy, Default)]
pub(crate) struct OAuthKeys {
    pub(crate) client_id: &'static str,
    pub(crate) client_secret: &'static str,
    pub(crate) scopes: &'static str,
    pub(crate) resource: Option<&'static str>,
    pub(crate) authorization_url: Option<&'static str>,
    pub(crate) token_url: Option<&'static str>,
}

/// Returns whether what has this name is a secret, where nothing else says so.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "passwd", "credential", "key", "auth"]
        .iter()
        .any(|word| name.contains(word))
}

pub(crate) fn is_secret_header(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization") || is_secret_name(name)
}

/// Returns whether an argument or a parameter of this name is a secret. Narrower than for variables: `--author` is none.
pub(crate) fn is_secret_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.any(|word| {
        matches!(
            word,
            "token"
                | "secret"
                | "password"
                | "passwd"
                | "credential"
                | "credentials"
                | "apikey"
                | "accesstoken"
                | "key"
        )
    })
}
