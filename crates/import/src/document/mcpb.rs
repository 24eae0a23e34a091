//! Manifests of bundles: MCPB, and DXT before.

use std::collections::{BTreeMap, HashMap};

use super::text;
use crate::client::Reader;
use crate::draft::{Draft, Place};
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::{Found, enclosed};
use crate::{Error, Input, InputSource, Launch, Platform, Reason, Text, WarningKind};

/// The members that a manifest may have; with any other, it is refused.
const MEMBERS: &[&str] = &[
    "$schema",
    "manifest_version",
    "dxt_version",
    "name",
    "display_name",
    "version",
    "description",
    "long_description",
    "author",
    "repository",
    "homepage",
    "documentation",
    "support",
    "icon",
    "icons",
    "screenshots",
    "localization",
    "server",
    "tools",
    "tools_generated",
    "prompts",
    "prompts_generated",
    "keywords",
    "license",
    "privacy_policies",
    "compatibility",
    "user_config",
    "_meta",
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let name = text(root, "name").unwrap_or_default();
    let made = manifest(root);
    let unknown = made.as_ref().is_ok_and(|draft| {
        let ignored = |kind: &WarningKind| matches!(kind, WarningKind::IgnoredKey(_));
        draft.server.warnings.iter().any(|warning| ignored(&warning.kind))
    });
    reader.add(name, root.line, made)?;
    reader.refuses(unknown, root.line);
    Ok(())
}

fn manifest(root: &Node) -> Result<Draft, Reason> {
    let mut fields = Fields::new(root, "")?;
    fields.skip(MEMBERS);
    let mut draft = Draft::new(fields.required("name")?, root.line);
    let old = fields.has("dxt_version") && !fields.has("manifest_version");
    let version = fields.required(if old { "dxt_version" } else { "manifest_version" })?;
    if !matches!(version, "0.1" | "0.2" | "0.3" | "0.4") {
        return Err(Reason::WrongType(
            if old { "dxt_version" } else { "manifest_version" }.into(),
        ));
    }
    draft.server.version = Some(fields.required("version")?.to_owned());
    draft.server.description = Some(fields.required("description")?.to_owned());
    draft.server.title = fields.owned("display_name")?;
    let author = fields.fields("author")?;
    author
        .ok_or_else(|| Reason::Missing("author".into()))?
        .required("name")?;
    let settings = Settings::read(&mut fields)?;
    let mut server = fields
        .fields("server")?
        .ok_or_else(|| Reason::Missing("server".into()))?;
    match server.required("type")? {
        "node" | "python" | "binary" | "uv" => {}
        _ => return Err(Reason::WrongType("server.type".into())),
    }
    server.required("entry_point")?;
    let config = server.fields("mcp_config")?;
    let mut config = config.ok_or_else(|| Reason::Missing("server.mcp_config".into()))?;
    launch(&mut draft, &mut config, &settings)?;
    settings.add(&mut draft);
    draft.ignore(config.unread());
    draft.ignore(server.unread());
    draft.ignore(fields.unread());
    if old {
        draft.warn(WarningKind::OldForm);
    }
    Ok(draft)
}

fn launch(draft: &mut Draft, config: &mut Fields<'_>, settings: &Settings) -> Result<(), Reason> {
    let scan = |text: &str| settings.scan(text);
    let command = draft.expand(config.required("command")?, Place::Plain, &scan)?;
    let args = arguments(draft, &config.texts("args")?.unwrap_or_default(), settings)?;
    let env = environment(draft, &config.text_map("env", false)?, settings)?;
    draft.server.env = env;
    draft.check_arguments(&args);
    draft.server.launch = Launch::Stdio {
        command,
        args,
        cwd: None,
    };
    for (name, node) in config.map("platform_overrides")? {
        let mut fields = Fields::new(node, &format!("server.mcp_config.platform_overrides.{name}"))?;
        let mut platform = Platform::default();
        if let Some(command) = fields.text("command")? {
            platform.command = Some(draft.expand(command, Place::Plain, &scan)?);
        }
        if let Some(args) = fields.texts("args")? {
            platform.args = Some(arguments(draft, &args, settings)?);
        }
        if fields.has("env") {
            platform.env = Some(environment(draft, &fields.text_map("env", false)?, settings)?);
        }
        if platform != Platform::default() {
            draft.server.platforms.insert(name.clone(), platform);
        }
        draft.ignore(fields.unread());
    }
    Ok(())
}

/// A list fills whole arguments only.
fn arguments(draft: &mut Draft, args: &[String], settings: &Settings) -> Result<Vec<Text>, Reason> {
    let mut texts = Vec::with_capacity(args.len());
    for arg in args {
        let text = draft.expand(arg, Place::Plain, &|text| settings.scan(text))?;
        if text.whole_input().is_none() {
            settings.check_lists(draft, &text);
        }
        texts.push(text);
    }
    Ok(texts)
}

fn environment(
    draft: &mut Draft,
    env: &[(String, String)],
    settings: &Settings,
) -> Result<BTreeMap<String, Text>, Reason> {
    let mut texts = BTreeMap::new();
    for (name, value) in env {
        let text = draft.env_text(name, value, &|text| settings.scan(text))?;
        settings.check_lists(draft, &text);
        texts.insert(name.clone(), text);
    }
    Ok(texts)
}

/// `user_config`: what each user sets.
struct Settings(HashMap<String, (Input, Option<bool>)>);

impl Settings {
    fn read(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let mut settings = HashMap::new();
        for (name, node) in fields.map("user_config")? {
            let mut input = Input::new(name, InputSource::User);
            input.required = node.get("required").and_then(Node::bool).unwrap_or(false);
            input.title = text(node, "title").map(str::to_owned);
            input.description = text(node, "description").map(str::to_owned);
            input.format = text(node, "type").filter(|kind| *kind != "string").map(str::to_owned);
            input.repeated = node.get("multiple").and_then(Node::bool).unwrap_or(false);
            input.default = node.get("default").map(Node::json);
            input.min = number(node, "min");
            input.max = number(node, "max");
            settings.insert(name.clone(), (input, node.get("sensitive").and_then(Node::bool)));
        }
        Ok(Self(settings))
    }

    fn scan(&self, text: &str) -> Option<(usize, Found)> {
        let (inner, length) = enclosed(text, "${", "}")?;
        let found = match inner {
            "__dirname" => Found::client("bundle"),
            "HOME" | "DESKTOP" | "DOCUMENTS" | "DOWNLOADS" => Found::client(inner),
            "/" | "pathSeparator" => Found::Literal("/".into()),
            _ => {
                let name = inner.strip_prefix("user_config.")?;
                match self.0.get(name) {
                    Some((input, secret)) => Found::input(input.clone(), *secret),
                    None => Found::Undeclared(name.to_owned()),
                }
            }
        };
        Some((length, found))
    }

    /// Warns of lists inside a text, where their placeholder stays as it is.
    fn check_lists(&self, draft: &mut Draft, text: &Text) {
        for name in text.inputs() {
            if self.0.get(name).is_some_and(|(input, _)| input.repeated) {
                draft.warn(WarningKind::ListInText(name.to_owned()));
            }
        }
    }

    /// Users are asked for all of them, used or not.
    fn add(self, draft: &mut Draft) {
        for (mut input, secret) in self.0.into_values() {
            input.secret = secret.unwrap_or_else(|| crate::names::is_secret(&input.name));
            draft.add_input(input);
        }
    }
}

pub(super) fn number(node: &Node, key: &str) -> Option<serde_json::Number> {
    match node.get(key)?.json() {
        serde_json::Value::Number(number) => Some(number),
        _ => None,
    }
}
