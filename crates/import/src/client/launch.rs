//! The launch of an entry, in the form that most clients share: `command`, `args`, `env`, or `url`, `headers`.

use crate::draft::Draft;
use crate::fields::Fields;
use crate::local::Local;
use crate::placeholder::Scan;
use crate::{Reason, TransportKind, WarningKind};

/// What a type name means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stdio,
    Http(TransportKind),
}

pub(super) const STDIO: Kind = Kind::Stdio;
pub(super) const HTTP: Kind = Kind::Http(TransportKind::StreamableHttp);
pub(super) const SSE: Kind = Kind::Http(TransportKind::Sse);

/// What a URL without a type means.
#[derive(Clone, Copy)]
pub(super) enum Untyped {
    /// The client refuses it.
    Refused,
    /// The client has this one transport for URLs.
    Certain(TransportKind),
    /// The client takes this transport.
    Guessed(TransportKind),
}

/// Which values the environment may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EnvValues {
    Texts,
    /// Numbers and booleans too, and `null` takes a variable away.
    Scalars,
}

/// How a client reads the launch of an entry.
pub(super) struct Rules<'a> {
    pub(super) type_key: Option<&'a str>,
    pub(super) types: &'a [(&'a str, Kind)],
    pub(super) untyped: Untyped,
    pub(super) url_keys: &'a [&'a str],
    pub(super) env: EnvValues,
    pub(super) cwd: bool,
    pub(super) headers: bool,
    /// An entry with a program, a URL and no type is a local one.
    pub(super) program_wins: bool,
    pub(super) scan: &'a Scan<'a>,
}

impl<'a> Rules<'a> {
    /// The most common rules: `url`, text variables, a working directory, headers.
    pub(super) fn new(types: &'a [(&'a str, Kind)], untyped: Untyped, scan: &'a Scan<'a>) -> Self {
        Self {
            type_key: Some("type"),
            types,
            untyped,
            url_keys: &["url"],
            env: EnvValues::Texts,
            cwd: true,
            headers: true,
            program_wins: false,
            scan,
        }
    }

    /// Reads the launch of an entry.
    pub(super) fn read(&self, draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
        let url_key = self.url_keys.iter().copied().find(|key| fields.has(key));
        match (self.kind(fields)?, fields.has("command"), url_key) {
            (Some(Kind::Stdio), ..) => self.local(draft, fields),
            (Some(Kind::Http(transport)), _, url) => {
                self.remote(draft, fields, url.unwrap_or(self.url_keys[0]), transport)
            }
            (None, true, Some(_)) if !self.program_wins => Err(Reason::BothLaunches),
            (None, true, _) => self.local(draft, fields),
            (None, false, None) => Err(Reason::NoLaunch),
            (None, false, Some(url)) => match self.untyped {
                Untyped::Refused => Err(Reason::TypeMissing),
                Untyped::Certain(transport) => self.remote(draft, fields, url, transport),
                Untyped::Guessed(transport) => {
                    self.remote(draft, fields, url, transport)?;
                    draft.warn(WarningKind::TransportGuessed);
                    Ok(())
                }
            },
        }
    }

    pub(super) fn kind(&self, fields: &mut Fields<'_>) -> Result<Option<Kind>, Reason> {
        let Some(key) = self.type_key else { return Ok(None) };
        let Some(name) = fields.text(key)? else { return Ok(None) };
        let found = self.types.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| Some(*kind)).ok_or(Reason::UnsupportedTransport)
    }

    pub(super) fn local(&self, draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
        let command = fields.required("command")?.to_owned();
        let args = fields.texts("args")?.unwrap_or_default();
        let env = match self.env {
            EnvValues::Texts => fields.text_map("env", false)?,
            EnvValues::Scalars => {
                let (set, unset) = fields.env("env")?;
                draft.server.env_unset.extend(unset);
                set
            }
        };
        let cwd = if self.cwd { fields.owned("cwd")? } else { None };
        draft.local(
            &Local {
                command,
                args,
                env,
                cwd,
            },
            self.scan,
        )
    }

    pub(super) fn remote(
        &self,
        draft: &mut Draft,
        fields: &mut Fields<'_>,
        key: &str,
        transport: TransportKind,
    ) -> Result<(), Reason> {
        let url = fields.required(key)?;
        draft.remote(url, transport, self.scan)?;
        if self.headers {
            for (name, value) in fields.text_map("headers", false)? {
                draft.header(&name, &value, self.scan)?;
            }
        }
        Ok(())
    }
}

/// Reads scopes: a list, or one text with blanks between them.
pub(super) fn scopes(fields: &mut Fields<'_>, key: &str) -> Result<Vec<String>, Reason> {
    match fields.node(key) {
        None => Ok(Vec::new()),
        Some(node) => match (node.text(), node.list()) {
            (Some(text), _) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            (_, Some(items)) => {
                let wrong = || Reason::WrongType(fields.path(key));
                items
                    .iter()
                    .map(|item| item.text().map(str::to_owned).ok_or_else(wrong))
                    .collect()
            }
            _ => Err(Reason::WrongType(fields.path(key))),
        },
    }
}

/// The names that an OAuth section has in a client.
pub(super) struct OAuthKeys<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) scopes: &'a str,
    /// `""` for what the client does not have.
    pub(super) authorization_url: &'a str,
    pub(super) token_url: &'a str,
    pub(super) audience: &'a str,
    /// Keys that concern the client alone.
    pub(super) own: &'a [&'a str],
}

impl<'a> OAuthKeys<'a> {
    /// The names of a section that has a client and scopes alone.
    pub(super) fn client(id: &'a str, secret: &'a str, scopes: &'a str) -> Self {
        Self {
            id,
            secret,
            scopes,
            authorization_url: "",
            token_url: "",
            audience: "",
            own: &[],
        }
    }

    /// Reads an OAuth section into the server.
    pub(super) fn read(&self, draft: &mut Draft, fields: &mut Fields<'_>, scan: &Scan<'_>) -> Result<(), Reason> {
        use crate::draft::Place;
        let mut oauth = draft.server.oauth.take().unwrap_or_default();
        let mut plain = |draft: &mut Draft, key: &str| match fields.text(key)? {
            Some(text) => draft.expand(text, Place::Plain, scan).map(Some),
            None => Ok(None),
        };
        oauth.client_id = plain(draft, self.id)?.or(oauth.client_id);
        oauth.authorization_url = plain(draft, self.authorization_url)?;
        oauth.token_url = plain(draft, self.token_url)?;
        if let Some(secret) = fields.text(self.secret)? {
            oauth.client_secret = Some(draft.client_secret(secret, scan)?);
        }
        for scope in scopes(fields, self.scopes)? {
            oauth.scopes.push(draft.expand(&scope, Place::Plain, scan)?);
        }
        for audience in scopes(fields, self.audience)? {
            oauth.audience.push(draft.expand(&audience, Place::Plain, scan)?);
        }
        fields.skip(self.own);
        draft.ignore(fields.unread());
        draft.server.oauth = Some(oauth);
        Ok(())
    }
}
