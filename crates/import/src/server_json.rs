//! `server.json` documents, and answers of the registry API.

mod arguments;

use std::collections::BTreeSet;

use self::arguments::{Arguments, Names, field, fill, input_of};
use crate::{
    Found,
    command::{oci, run_container, warn_of_secrets},
    draft::{Draft, Reason},
    format::Format,
    model::{ImportedServer, Launch, Package, RegistryStatus},
    node::Node,
    placeholder::Syntax,
};

/// The member of `_meta` that the official registry writes.
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";

/// Reads a document, a page of records or one record. The error is that of the whole file.
pub(crate) fn read(root: &Node, format: Format, found: &mut Found) -> Result<(), String> {
    let records = match root.get("servers") {
        Some(Node::List(records)) => records.iter().collect(),
        _ => vec![root],
    };
    for record in records {
        let document = record.get("server").filter(|server| server.is_map()).unwrap_or(record);
        let name = document.text_of("name").unwrap_or_default();
        if has_template(document) {
            if format == Format::ServerJson {
                return Err("placeholder-in-version".to_owned());
            }
            found.add(name, Err("placeholder-in-version".to_owned()));
            continue;
        }
        let official = record.get("_meta").and_then(|meta| meta.get(OFFICIAL));
        let status = official.and_then(|official| official.text_of("status"));
        if status == Some("deleted") {
            found.add(name, Err("deleted".to_owned()));
            continue;
        }
        let read = read_document(name, document).map(|mut server| {
            server.registry = official.map(|official| RegistryStatus {
                status: status.unwrap_or("active").to_owned(),
                message: official.text_of("statusMessage").map(ToOwned::to_owned),
                latest: official.flag("isLatest") == Some(true),
            });
            server
        });
        found.add(name, read);
    }
    Ok(())
}

/// Returns whether a version is still to be filled in.
fn has_template(document: &Node) -> bool {
    let is_template = |text: Option<&str>| text.is_some_and(|text| text.contains("${") || text.contains("{{"));
    let packages = document.get("packages").map(Node::items).unwrap_or_default();
    let in_packages = packages
        .iter()
        .any(|package| is_template(package.text_of("version")) || is_template(package.text_of("identifier")));
    is_template(document.text_of("version")) || in_packages
}

fn read_document(name: &str, document: &Node) -> Result<ImportedServer, Reason> {
    if name.is_empty() {
        return Err("missing:name".to_owned());
    }
    let mut launches = Vec::new();
    for package in document.get("packages").map(Node::items).unwrap_or_default() {
        launches.push(Source::Package(package));
    }
    for remote in document.get("remotes").map(Node::items).unwrap_or_default() {
        launches.push(Source::Remote(remote));
    }
    // The first that can be used; others are further ways.
    let mut reason = "no-launch".to_owned();
    for (at, launch) in launches.iter().enumerate() {
        let mut draft = described(name, document);
        match launch.read(&mut draft) {
            Ok(()) => {
                for other in &launches[at + 1..] {
                    let mut apart = Draft::new(name, Syntax::None);
                    if other.read(&mut apart).is_ok() {
                        draft.server.alternatives.extend(apart.server.launch);
                    }
                }
                return draft.finish();
            }
            Err(error) if at == 0 => reason = error,
            Err(_) => {}
        }
    }
    Err(reason)
}

/// Begins a server with what the document says of it.
fn described(name: &str, document: &Node) -> Draft {
    let mut draft = Draft::new(name, Syntax::None);
    let text = |key| document.text_of(key).map(ToOwned::to_owned);
    draft.server.title = text("title");
    draft.server.description = text("description");
    let old_version = document
        .get("version_detail")
        .and_then(|detail| detail.text_of("version"));
    draft.server.version = text("version").or_else(|| old_version.map(ToOwned::to_owned));
    if old_version.is_some() {
        draft.warn("old-form");
    }
    draft
}

enum Source<'a> {
    Package(&'a Node),
    Remote(&'a Node),
}

impl Source<'_> {
    fn read(&self, draft: &mut Draft) -> Result<(), Reason> {
        match self {
            Self::Package(package) => read_package(draft, package),
            Self::Remote(remote) => read_remote(draft, remote),
        }
    }
}

fn read_remote(draft: &mut Draft, remote: &Node) -> Result<(), Reason> {
    let kind = remote
        .text_of("type")
        .or_else(|| field(draft, remote, "transportType").and_then(Node::text));
    let transport = match kind {
        Some("streamable-http" | "streamable") => "streamable-http",
        Some("sse") => "sse",
        Some(_) => return Err("unsupported-transport".to_owned()),
        None => return Err("type-missing".to_owned()),
    };
    let url = remote.text_of("url").ok_or("missing:url")?;
    let url = fill(draft, url, remote.get("variables"), &Names::default());
    headers(draft, remote);
    draft.filled_url(url, transport);
    Ok(())
}

/// Reads the headers of a remote server or of a package's transport.
fn headers(draft: &mut Draft, holder: &Node) {
    for header in holder.get("headers").map(Node::items).unwrap_or_default() {
        let Some(name) = header.text_of("name") else { continue };
        let filled = match header.text_of("value") {
            Some(value) => fill(draft, value, header.get("variables"), &Names::default()),
            None => {
                let input = input_of(draft, header, name, "header");
                draft.input(input)
            }
        };
        draft.filled_header(name, filled);
    }
}

fn read_package(draft: &mut Draft, package: &Node) -> Result<(), Reason> {
    let registry = field(draft, package, "registryType").or_else(|| field(draft, package, "registryName"));
    let registry = registry.and_then(Node::text).ok_or("missing:registryType")?;
    let identifier = package
        .text_of("identifier")
        .or_else(|| package.text_of("name"))
        .ok_or("missing:identifier")?;
    let version = package.text_of("version").filter(|version| !version.is_empty());
    environment(draft, package);
    let arguments = field(draft, package, "packageArguments")
        .map(Node::items)
        .unwrap_or_default();
    let mut names = Names::default();
    let args = Arguments::read(draft, arguments, &mut names);
    let runtime = field(draft, package, "runtimeArguments")
        .map(Node::items)
        .unwrap_or_default();
    let hint = field(draft, package, "runtimeHint")
        .and_then(Node::text)
        .map(ToOwned::to_owned);
    match registry {
        "oci" | "docker" => container(draft, identifier, version, runtime, args),
        "mcpb" | "dxt" => {
            let sha256 = field(draft, package, "fileSha256")
                .and_then(Node::text)
                .map(ToOwned::to_owned);
            draft.server.package = Some(Package {
                registry: "mcpb",
                name: identifier.to_owned(),
                version: version.map(ToOwned::to_owned),
                args,
                program: None,
            });
            draft.server.launch = Some(Launch::Bundle {
                url: identifier.to_owned(),
                sha256,
            });
        }
        _ => started(draft, registry, (identifier, version), hint, runtime, args)?,
    }
    transport(draft, package, &names);
    Ok(())
}

fn environment(draft: &mut Draft, package: &Node) {
    for variable in field(draft, package, "environmentVariables")
        .map(Node::items)
        .unwrap_or_default()
    {
        let Some(name) = variable.text_of("name") else { continue };
        let filled = match variable.text_of("value") {
            Some(value) => fill(draft, value, variable.get("variables"), &Names::default()),
            None => {
                let input = input_of(draft, variable, name, "environment");
                draft.input(input)
            }
        };
        draft.plain_env(name, filled);
    }
}

/// A package that a runner installs and starts.
fn started(
    draft: &mut Draft,
    registry: &str,
    (identifier, version): (&str, Option<&str>),
    hint: Option<String>,
    runtime: &[Node],
    args: Vec<String>,
) -> Result<(), Reason> {
    let exact = version.filter(|version| *version != "latest");
    let (registry, runner, joined) = match registry {
        "npm" => ("npm", "npx", "@"),
        "pypi" => ("pypi", "uvx", "=="),
        "nuget" => ("nuget", "dnx", "@"),
        "cargo" => ("cargo", identifier, "@"),
        // A registry that is not known.
        _ => return Err("no-launch".to_owned()),
    };
    let spec = exact.map_or_else(
        || identifier.to_owned(),
        |version| format!("{identifier}{joined}{version}"),
    );
    if exact.is_none() {
        draft.warn("unpinned");
    }
    let mut words = Arguments::read(draft, runtime, &mut Names::default());
    words.retain(|word| *word != spec && *word != identifier);
    if registry != "cargo" {
        words.push(spec);
    }
    if registry == "nuget" {
        if !words.iter().any(|word| word == "--yes" || word == "-y") {
            words.push("--yes".to_owned());
        }
        if !args.is_empty() {
            words.push("--".to_owned());
        }
    }
    words.extend(args.iter().cloned());
    warn_of_secrets(draft, &words);
    draft.server.package = Some(Package {
        registry,
        name: identifier.to_owned(),
        version: exact.map(ToOwned::to_owned),
        args,
        program: None,
    });
    draft.server.launch = Some(Launch::Stdio {
        command: hint
            .filter(|_| registry != "cargo")
            .unwrap_or_else(|| runner.to_owned()),
        args: words,
        cwd: None,
    });
    Ok(())
}

/// A container. The runtime's arguments are those of `docker run`, sometimes with `run` and the image among them.
fn container(draft: &mut Draft, identifier: &str, version: Option<&str>, runtime: &[Node], args: Vec<String>) {
    let slash = identifier.rfind('/').map_or(0, |at| at + 1);
    let is_tagged = identifier.contains('@') || identifier[slash..].contains(':');
    let image = match version {
        Some(version) if !is_tagged && version.starts_with("sha256:") => format!("{identifier}@{version}"),
        Some(version) if !is_tagged => format!("{identifier}:{version}"),
        _ => identifier.to_owned(),
    };
    let env = std::mem::take(&mut draft.server.env);
    let mut words: Vec<String> = Vec::new();
    let mut is_full = false;
    for argument in runtime {
        let name = argument.text_of("name").filter(|name| name.starts_with('-'));
        let switch = argument
            .text_of("value")
            .filter(|value| matches!(*value, "true" | "false"));
        match (name, switch) {
            // A flag with a value of its own for being set.
            (Some(name), Some(value)) => words.extend((value == "true").then(|| name.to_owned())),
            (Some(_), None) => words.extend(Arguments::read(
                draft,
                std::slice::from_ref(argument),
                &mut Names::default(),
            )),
            (None, _) => {
                let word = Arguments::read(draft, std::slice::from_ref(argument), &mut Names::default());
                match word.first().map(String::as_str) {
                    Some("run" | "docker" | "podman" | "container") => is_full = true,
                    Some(word) if word.starts_with('-') => words.push(word.to_owned()),
                    Some(word) if words.last().is_some_and(|flag| is_waiting(flag)) => words.push(word.to_owned()),
                    // The image again.
                    _ => {}
                }
            }
        }
    }
    if is_full {
        draft.warn("run-in-runtime-arguments");
    }
    words.push(image.clone());
    words.extend(args.iter().cloned());
    run_container(draft, &words);
    let own = std::mem::take(&mut draft.server.env);
    draft.server.env = env.into_iter().chain(own).collect();
    if draft.server.launch.is_none() {
        draft.server.package = Some(oci(draft, &image, &args));
    }
}

/// Returns whether an option of `docker run` stands for itself and its value follows.
fn is_waiting(flag: &str) -> bool {
    matches!(
        flag,
        "-e" | "--env"
            | "-v"
            | "--volume"
            | "--mount"
            | "-u"
            | "--user"
            | "--network"
            | "--net"
            | "-p"
            | "--publish"
            | "--name"
            | "--env-file"
            | "--platform"
            | "--pull"
            | "--entrypoint"
            | "-w"
            | "--workdir"
    )
}

/// Reads where a started package listens.
fn transport(draft: &mut Draft, package: &Node, names: &Names) {
    let Some(transport) = package.get("transport") else {
        return;
    };
    let kind = match transport.text_of("type") {
        Some("streamable-http") => "streamable-http",
        Some("sse") => "sse",
        _ => return,
    };
    let Some(url) = transport.text_of("url") else { return };
    let mut names = names.clone();
    let known: BTreeSet<String> = draft.server.inputs.iter().map(|input| input.name.clone()).collect();
    names.0.extend(known);
    let url = fill(draft, url, transport.get("variables"), &names);
    headers(draft, transport);
    draft.server.serves = Some(Launch::Http { url, transport: kind });
}
