//! Docker's catalogue, and the `server.yaml` that its entries are made from.

use std::collections::HashMap;

use super::docker_text::{Expanded, Names};
use super::mcpb::number;
use super::text;
use crate::client::Reader;
use crate::draft::{Draft, Place};
use crate::fields::Fields;
use crate::names::is_authorization;
use crate::node::Node;
use crate::{Error, Input, InputSource, Launch, OAuth, Reason, Text, TransportKind, WarningKind};

/// Members that describe an entry.
const DESCRIPTIVE: &[&str] = &[
    "name",
    "displayName",
    "title",
    "description",
    "type",
    "icon",
    "tools",
    "prompts",
    "resources",
    "readme",
    "toolsUrl",
    "source",
    "upstream",
    "metadata",
    "meta",
    "dateAdded",
    "ref",
    "about",
    "dynamic",
    "policy",
    "license",
    "owner",
];

pub(super) fn catalog(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    reader.add_map(root.get("registry"), catalog_entry).map(drop)
}

pub(super) fn source(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let name = text(root, "name").unwrap_or_default();
    reader.add(name, root.line, source_entry(name, root)).map(drop)
}

/// Returns an input for a setting of which nothing is known.
pub(super) fn setting(path: &str) -> Input {
    let mut input = Input::new(path, InputSource::User);
    input.required = false;
    input
}

fn catalog_entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    draft.server.title = fields.owned("title")?;
    draft.server.description = fields.owned("description")?;
    let mut names = Names {
        settings: HashMap::new(),
        sections: vec![name.to_owned()],
        secrets: HashMap::new(),
    };
    for section in fields.node("config").and_then(Node::list).unwrap_or_default() {
        names.sections.extend(text(section, "name").map(str::to_owned));
        settings(&mut names, section);
    }
    secrets(&mut names, fields.node("secrets"))?;
    entry(&mut draft, node, &mut fields, None, &names)?;
    Ok(draft)
}

fn source_entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    if name.is_empty() {
        return Err(Reason::Missing("name".into()));
    }
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let about = node.get("about");
    let describe = |key: &str| about.and_then(|about| text(about, key)).map(str::to_owned);
    draft.server.title = describe("title");
    draft.server.description = describe("description");
    let mut names = Names {
        settings: HashMap::new(),
        sections: vec![name.to_owned()],
        secrets: HashMap::new(),
    };
    let mut config = fields.fields("config")?;
    if let Some(config) = &mut config {
        if let Some(parameters) = config.node("parameters") {
            settings(&mut names, parameters);
        }
        secrets(&mut names, config.node("secrets"))?;
    }
    let run = fields.fields("run")?;
    let config = config.as_mut().and_then(|config| config.node("env"));
    entry(&mut draft, node, &mut fields, Some((run, config)), &names)?;
    Ok(draft)
}

/// The sections of a `server.yaml`: `run`, and `config.env`.
type Sections<'a> = (Option<Fields<'a>>, Option<&'a Node>);

fn entry(
    draft: &mut Draft,
    node: &Node,
    fields: &mut Fields<'_>,
    sections: Option<Sections<'_>>,
    names: &Names,
) -> Result<(), Reason> {
    match text(node, "type") {
        Some("server") | None if node.get("remote").is_none() || node.get("image").is_some() => {
            let image = fields.required("image")?.to_owned();
            match sections {
                Some((Some(mut run), config_env)) => {
                    environment(draft, names, &[run.node("env"), config_env])?;
                    container(draft, &image, &mut run, names)?;
                    draft.ignore(run.unread());
                }
                Some((None, config_env)) => {
                    environment(draft, names, &[config_env])?;
                    draft.container_launch(Text::from(image), Vec::new(), Vec::new(), None, None);
                }
                None => {
                    environment(draft, names, &[fields.node("env")])?;
                    container(draft, &image, fields, names)?;
                }
            }
            for (name, input) in &names.secrets {
                draft.add_input(input.clone());
                draft
                    .server
                    .env
                    .entry(name.clone())
                    .or_insert_with(|| Text::input(name));
            }
        }
        Some("remote" | "server") | None => remote(draft, fields, names)?,
        Some("poci") => return Err(Reason::InClient),
        Some(_) => return Err(Reason::WrongType("type".into())),
    }
    if fields.node("oauth").is_some() {
        draft.server.oauth = Some(OAuth::default());
    }
    // All of them are asked for, used or not.
    for (input, secret) in names.settings.values() {
        draft.add_found(input.clone(), *secret, Place::Plain);
    }
    fields.skip(DESCRIPTIVE);
    draft.ignore(fields.unread());
    Ok(())
}

/// Adds the inputs of a text, and returns it.
fn take(draft: &mut Draft, expanded: Expanded, place: Place<'_>) -> Text {
    let whole = expanded.text.whole_input().is_some();
    let always = matches!(place, Place::Header(header) if is_authorization(header));
    for (input, secret) in expanded.inputs {
        draft.add_found(input, secret, if whole || always { place } else { Place::Plain });
    }
    expanded.text
}

fn container(draft: &mut Draft, image: &str, fields: &mut Fields<'_>, names: &Names) -> Result<(), Reason> {
    let mut list = |draft: &mut Draft, key: &str| -> Result<Vec<Text>, Reason> {
        let texts = fields.texts(key)?.unwrap_or_default();
        Ok(texts
            .iter()
            .map(|text| take(draft, names.template(text), Place::Plain))
            .collect())
    };
    let args = list(draft, "command")?;
    let volumes = list(draft, "volumes")?;
    let user = fields.node("user").and_then(Node::scalar);
    let user = user.map(|user| take(draft, names.template(&user), Place::Plain));
    let network = (fields.bool("disableNetwork")? == Some(true)).then(|| Text::from("none"));
    draft.check_arguments(&args);
    draft.container_launch(Text::from(image), args, volumes, network, user);
    Ok(())
}

/// Sets environment variables: lists of `{name, value}`, or maps. An empty value is not set at all.
fn environment(draft: &mut Draft, names: &Names, sources: &[Option<&Node>]) -> Result<(), Reason> {
    let mut earlier: HashMap<String, Text> = HashMap::new();
    for source in sources.iter().flatten() {
        let pairs: Vec<(String, String)> = match (source.list(), source.map()) {
            (Some(items), _) => items
                .iter()
                .filter_map(|item| {
                    Some((
                        text(item, "name")?.to_owned(),
                        item.get("value").and_then(Node::scalar)?,
                    ))
                })
                .collect(),
            (_, Some(members)) => members
                .iter()
                .filter_map(|(name, node)| Some((name.clone(), node.scalar()?)))
                .collect(),
            _ => return Err(Reason::WrongType("env".into())),
        };
        for (name, value) in pairs {
            let expanded = names.env(&value, &earlier);
            if expanded.too_long {
                return Err(Reason::TooLarge);
            }
            let text = take(draft, expanded, Place::Env(&name));
            if text.literal() == Some("") {
                continue;
            }
            let text = draft.safe_env(&name, text);
            earlier.insert(name.clone(), text.clone());
            draft.server.env.insert(name, text);
        }
    }
    Ok(())
}

fn remote(draft: &mut Draft, fields: &mut Fields<'_>, names: &Names) -> Result<(), Reason> {
    let section = fields.fields("remote")?;
    let mut section = section.ok_or_else(|| Reason::Missing("remote".into()))?;
    let transport = match section.text("transport_type")? {
        Some("streamable-http" | "http" | "streamable") => TransportKind::StreamableHttp,
        Some("sse") => TransportKind::Sse,
        Some(_) => return Err(Reason::UnsupportedTransport),
        None => {
            draft.warn(WarningKind::TransportGuessed);
            TransportKind::Either
        }
    };
    let url = section.required("url")?;
    if url.contains("{{") {
        let url = take(draft, names.template(url), Place::Plain);
        draft.server.launch = Launch::Http { url, transport };
    } else {
        draft.remote(url, transport, &crate::placeholder::none)?;
    }
    for (name, value) in section.text_map("headers", false)? {
        let expanded = names.header(&value);
        let text = take(draft, expanded, Place::Header(&name));
        draft.header_text(&name, text);
    }
    for input in names.secrets.values() {
        draft.add_input(input.clone());
    }
    draft.ignore(section.unread());
    Ok(())
}

/// Reads secrets: the environment variable of each is its name here.
fn secrets(names: &mut Names, list: Option<&Node>) -> Result<(), Reason> {
    for node in list.and_then(Node::list).unwrap_or_default() {
        let variable = text(node, "env").or_else(|| text(node, "name"));
        let variable = variable.ok_or_else(|| Reason::Missing("secrets.env".into()))?;
        let mut input = Input::new(variable, InputSource::SecretStore);
        input.secret = true;
        input.required = node.get("required").and_then(Node::bool).unwrap_or(true);
        input.description = text(node, "description").map(str::to_owned);
        names.secrets.insert(variable.to_owned(), input);
    }
    Ok(())
}

/// Reads the settings of a JSON schema, also those of its alternatives (`anyOf`).
fn settings(names: &mut Names, schema: &Node) {
    properties(names, schema, "", 0);
    for alternative in schema.get("anyOf").and_then(Node::list).unwrap_or_default() {
        properties(names, alternative, "", 0);
    }
}

fn properties(names: &mut Names, schema: &Node, prefix: &str, depth: usize) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Node::list)
        .unwrap_or_default()
        .iter()
        .filter_map(Node::text)
        .collect();
    for (name, node) in schema.get("properties").and_then(Node::map).unwrap_or_default() {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        let kind = text(node, "type");
        if kind == Some("object") && node.get("properties").is_some() && depth < 8 {
            properties(names, node, &path, depth + 1);
            continue;
        }
        let mut input = setting(&path);
        input.required = required.contains(&name.as_str());
        input.title = text(node, "title").map(str::to_owned);
        input.description = text(node, "description").map(str::to_owned);
        input.default = node.get("default").map(Node::json);
        input.repeated = kind == Some("array");
        input.format = match kind {
            Some("integer" | "number") => Some("number".into()),
            Some("boolean") => Some("boolean".into()),
            _ => None,
        };
        let choices = node.get("enum").and_then(Node::list).unwrap_or_default();
        input.choices = choices.iter().filter_map(Node::scalar).collect();
        input.min = number(node, "minimum");
        input.max = number(node, "maximum");
        names.settings.entry(path).or_insert((input, None));
    }
}
