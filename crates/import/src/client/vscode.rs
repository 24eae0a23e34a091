//! VS Code: its own `mcp.json`, the older settings, and the `.mcp.json` of others that it reads too.

use std::collections::HashMap;

use super::claude::{add_unwrapped, is_unwrapped};
use super::cursor::{client_variables, env_file};
use super::launch::{EnvValues, HTTP, Kind, OAuthKeys, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::{Found, Scan, editor, enclosed, shell};
use crate::{Error, Input, InputSource, Reason, TransportKind, WarningKind};

const TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("http", HTTP), ("sse", SSE)];

/// The names of the editor's variables.
const CLIENT: &[&str] = &[
    "workspaceFolder",
    "workspaceFolderBasename",
    "userHome",
    "pathSeparator",
    "/",
    "cwd",
    "execPath",
    "file",
    "fileBasename",
    "fileBasenameNoExtension",
    "fileDirname",
    "fileExtname",
    "fileWorkspaceFolder",
    "lineNumber",
    "relativeFile",
    "relativeFileDirname",
    "selectedText",
    "config",
    "command",
    "defaultBuildTask",
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let settings = root.get("mcp").filter(|mcp| mcp.get("servers").is_some());
    let home = if root.get("servers").is_some() { None } else { settings };
    let dotted = root.get("mcp.servers");
    let servers = home.unwrap_or(root).get("servers").or(dotted);
    if servers.is_some() {
        if home.is_some() || (root.get("servers").is_none() && dotted.is_some()) {
            reader.warn(WarningKind::OldForm, root.line);
        }
        let inputs = Inputs::read(home.unwrap_or(root).get("inputs").or_else(|| root.get("mcp.inputs")));
        let known = editor(CLIENT);
        let scan = |text: &str| inputs.scan(text).or_else(|| known(text));
        return reader.add_map(servers, |name, node| entry(name, node, &scan)).map(drop);
    }
    // The `.mcp.json` of other clients has other placeholders.
    let expand = shell(true);
    if let Some(servers) = root.get("mcpServers") {
        return reader
            .add_map(Some(servers), |name, node| entry(name, node, &expand))
            .map(drop);
    }
    if is_unwrapped(root) {
        reader.warn(WarningKind::UnwrappedMap, root.line);
        return add_unwrapped(reader, root, |name, node| entry(name, node, &expand));
    }
    Ok(())
}

fn entry(name: &str, node: &Node, scan: &Scan<'_>) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let rules = Rules {
        env: EnvValues::Scalars,
        ..Rules::new(TYPES, Untyped::Guessed(TransportKind::Either), scan)
    };
    rules.read(&mut draft, &mut fields)?;
    env_file(&mut draft, &mut fields)?;
    client_variables(&mut draft);
    if let Some(mut oauth) = fields.fields("oauth")? {
        let keys = OAuthKeys::client("clientId", "clientSecret", "scopes");
        keys.read(&mut draft, &mut oauth, scan)?;
    }
    draft.server.version = fields.owned("version")?;
    draft.ignore(fields.unread());
    Ok(draft)
}

/// The inputs that a file declares.
struct Inputs(HashMap<String, (Input, Option<bool>)>);

impl Inputs {
    /// Reads the list of inputs. One that cannot be read is as good as not declared.
    fn read(list: Option<&Node>) -> Self {
        let items = list.and_then(Node::list).unwrap_or_default();
        Self(items.iter().filter_map(Self::input).collect())
    }

    fn input(node: &Node) -> Option<(String, (Input, Option<bool>))> {
        let id = node.get("id")?.text()?;
        let kind = node.get("type").and_then(Node::text).unwrap_or("promptString");
        let source = if kind == "command" {
            InputSource::Client
        } else {
            InputSource::Prompt
        };
        let mut input = Input::new(id, source);
        input.description = node.get("description").and_then(Node::text).map(str::to_owned);
        input.default = node.get("default").and_then(Node::text).map(Into::into);
        input.required = input.default.is_none();
        for option in node.get("options").and_then(Node::list).unwrap_or_default() {
            let value = option.text().or_else(|| option.get("value").and_then(Node::text));
            input.choices.extend(value.map(str::to_owned));
        }
        let secret = node.get("password").and_then(Node::bool);
        Some((id.to_owned(), (input, secret)))
    }

    fn scan(&self, text: &str) -> Option<(usize, Found)> {
        let (id, length) = enclosed(text, "${input:", "}")?;
        let found = match self.0.get(id) {
            Some((input, secret)) => Found::input(input.clone(), *secret),
            None => Found::Undeclared(id.to_owned()),
        };
        Some((length, found))
    }
}
