//! Catalogues of Docker's MCP gateway, and the sources that they are made from.

mod template;

use self::template::{Template, shell};
use crate::{
    Found,
    command::{oci, warn_of_secrets},
    draft::{Draft, Reason, is_secret_name},
    model::{ImportedServer, Input, Launch, OAuth},
    node::Node,
    placeholder::Syntax,
};

/// Reads a catalogue.
pub(crate) fn catalog(root: &Node, found: &mut Found) {
    for (name, entry) in root.get("registry").map(Node::members).unwrap_or_default() {
        let config = entry.get("config").map(Node::items).unwrap_or_default();
        let run = Run {
            entry,
            run: entry,
            secrets: entry.get("secrets").map(Node::items).unwrap_or_default(),
            env: entry.get("env"),
            config: config.iter().collect(),
        };
        found.add(
            name,
            run.read(name, entry.text_of("title"), entry.text_of("description")),
        );
    }
}

/// Reads a source.
pub(crate) fn source(root: &Node, found: &mut Found) {
    let name = root.text_of("name").unwrap_or_default();
    let about = |key| root.get("about").and_then(|about| about.text_of(key));
    let config = root.get("config");
    let run = Run {
        entry: root,
        run: root.get("run").unwrap_or(&Node::Null),
        secrets: config
            .and_then(|config| config.get("secrets"))
            .map(Node::items)
            .unwrap_or_default(),
        env: config.and_then(|config| config.get("env")),
        config: config.and_then(|config| config.get("parameters")).into_iter().collect(),
    };
    found.add(name, run.read(name, about("title"), about("description")));
}

/// The parts of an entry, wherever the form has them.
struct Run<'a> {
    entry: &'a Node,
    run: &'a Node,
    secrets: &'a [Node],
    env: Option<&'a Node>,
    /// Schemas of what each user sets.
    config: Vec<&'a Node>,
}

impl Run<'_> {
    fn read(&self, name: &str, title: Option<&str>, description: Option<&str>) -> Result<ImportedServer, Reason> {
        if name.is_empty() {
            return Err("missing:name".to_owned());
        }
        let mut draft = Draft::new(name, Syntax::None);
        draft.server.title = title.map(ToOwned::to_owned);
        draft.server.description = description.map(ToOwned::to_owned);
        for schema in &self.config {
            properties(&mut draft, schema, "");
        }
        match self.entry.text_of("type") {
            Some("server") | None => self.container(&mut draft, name)?,
            Some("remote") => self.remote(&mut draft)?,
            Some("poci") => return Err("in-client".to_owned()),
            Some(_) => return Err("unsupported-transport".to_owned()),
        }
        if self.entry.get("oauth").is_some() {
            draft.server.oauth = Some(OAuth::default());
        }
        draft.finish()
    }

    /// Adds the secrets as inputs, named as their variables.
    fn secrets(&self, draft: &mut Draft) -> Vec<String> {
        let mut names = Vec::new();
        for secret in self.secrets {
            let Some(name) = secret.text_of("env").or_else(|| secret.text_of("name")) else {
                continue;
            };
            draft.input(Input {
                name: name.to_owned(),
                secret: true,
                required: secret.flag("required") != Some(false),
                source: "secret-store",
                description: secret.text_of("description").map(ToOwned::to_owned),
                ..Input::default()
            });
            names.push(name.to_owned());
        }
        names
    }

    fn container(&self, draft: &mut Draft, name: &str) -> Result<(), Reason> {
        let image = self.entry.text_of("image").ok_or("missing:image")?;
        for secret in self.secrets(draft) {
            let reference = format!("<<{secret}>>");
            draft.server.env.insert(secret, reference);
        }
        self.env(draft, name);
        let list = |draft: &mut Draft, key| {
            let texts = self.run.texts(key).unwrap_or_default();
            let filled = texts.iter().map(|text| Template { server: name }.fill(draft, text));
            filled.filter(|text| !text.is_empty()).collect::<Vec<_>>()
        };
        let args = list(draft, "command");
        let volumes = list(draft, "volumes");
        let user = self
            .run
            .text_of("user")
            .map(|user| Template { server: name }.fill(draft, user));
        warn_of_secrets(draft, &args);
        draft.server.package = Some(oci(draft, image, &args));
        draft.server.launch = Some(Launch::Container {
            image: image.to_owned(),
            args,
            volumes,
            network: (self.run.flag("disableNetwork") == Some(true)).then(|| "none".to_owned()),
            user,
        });
        Ok(())
    }

    /// Reads the variables: a map under `run`, a list under `config` or the entry.
    fn env(&self, draft: &mut Draft, name: &str) {
        for (variable, value) in self.run.get("env").map(Node::members).unwrap_or_default() {
            if let Some(value) = value.scalar() {
                set(draft, name, variable, &value);
            }
        }
        for variable in self.env.map(Node::items).unwrap_or_default() {
            let Some(key) = variable.text_of("name") else { continue };
            match variable.get("value").and_then(Node::scalar) {
                Some(value) => set(draft, name, key, &value),
                None => {
                    let reference = draft.input(Input {
                        name: key.to_owned(),
                        secret: is_secret_name(key),
                        source: "user",
                        ..Input::default()
                    });
                    draft.server.env.insert(key.to_owned(), reference);
                }
            }
        }
    }

    fn remote(&self, draft: &mut Draft) -> Result<(), Reason> {
        let remote = self.entry.get("remote").ok_or("missing:remote")?;
        let transport = match remote.text_of("transport_type") {
            None | Some("streamable-http" | "http" | "streamable") => "streamable-http",
            Some("sse") => "sse",
            Some(_) => return Err("unsupported-transport".to_owned()),
        };
        let url = remote.text_of("url").ok_or("missing:url")?;
        self.secrets(draft);
        let mut known = std::collections::BTreeMap::new();
        for secret in &draft.server.inputs {
            known.insert(secret.name.clone(), format!("<<{}>>", secret.name));
        }
        for (name, value) in remote.get("headers").map(Node::members).unwrap_or_default() {
            let Some(value) = value.text() else {
                return Err(format!("wrong-type:headers.{name}"));
            };
            let filled = shell(value, &known);
            draft.filled_header(name, filled);
        }
        let url = Template {
            server: &draft.server.name.clone(),
        }
        .fill(draft, url);
        draft.filled_url(url, transport);
        Ok(())
    }
}

/// Sets a variable; one without a value is not set at all.
fn set(draft: &mut Draft, server: &str, name: &str, value: &str) {
    let filled = if value.contains("{{") {
        Template { server }.fill(draft, value)
    } else {
        shell(value, &draft.server.env)
    };
    if !filled.is_empty() {
        draft.plain_env(name, filled);
    }
}

/// Adds what each user sets as inputs, named by their path.
fn properties(draft: &mut Draft, schema: &Node, path: &str) {
    let required = schema.texts("required").unwrap_or_default();
    for (key, property) in schema.get("properties").map(Node::members).unwrap_or_default() {
        let name = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let kind = property.text_of("type");
        if kind == Some("object") && property.get("properties").is_some() {
            properties(draft, property, &name);
            continue;
        }
        let text = |key| property.text_of(key).map(ToOwned::to_owned);
        draft.input(Input {
            secret: is_secret_name(&name),
            required: required.contains(key),
            source: "user",
            default: property.get("default").map(Node::to_json),
            choices: property.get("enum").map(Node::to_json),
            format: match kind {
                Some("integer" | "number") => Some("number".to_owned()),
                Some("boolean") => Some("boolean".to_owned()),
                _ => None,
            },
            repeated: kind == Some("array"),
            title: text("title"),
            description: text("description"),
            name,
            ..Input::default()
        });
    }
    for branch in schema.get("anyOf").map(Node::items).unwrap_or_default() {
        properties(draft, branch, path);
    }
}
