//! The packages of a `server.json`.

use super::server_json::transport;
use super::server_variables::{arguments, key_values, member};
use super::text;
use crate::command::{Container, Spec, Value, npm_spec, python_spec};
use crate::draft::{Draft, Place};
use crate::names::{is_exact, is_exact_npm};
use crate::node::Node;
use crate::placeholder::enclosed;
use crate::{InputSource, Launch, Package, PackageRegistry, Part, Reason, Text, WarningKind};

pub(super) fn package(draft: &mut Draft, node: &Node, old: &mut bool) -> Result<(), Reason> {
    let kind = member(node, "registryType", old)
        .and_then(Node::text)
        .or_else(|| member(node, "registryName", old).and_then(Node::text))
        .ok_or_else(|| Reason::Missing("registryType".into()))?;
    let identifier = text(node, "identifier").or_else(|| text(node, "name"));
    let identifier = identifier
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Reason::Missing("identifier".into()))?;
    let list = |key: &str, old: &mut bool| member(node, key, old).and_then(Node::list).unwrap_or_default();
    let runtime = arguments(draft, list("runtimeArguments", old), old)?;
    let own = arguments(draft, list("packageArguments", old), old)?;
    key_values(draft, list("environmentVariables", old), InputSource::Environment, old)?;
    let hint = member(node, "runtimeHint", old).and_then(Node::text);
    let version = text(node, "version");
    match kind {
        "npm" => npm(draft, identifier, version, hint, runtime, own),
        "pypi" => pypi(draft, identifier, version, hint, runtime, own),
        "nuget" => nuget(draft, identifier, version, runtime, own),
        "cargo" => cargo(draft, identifier, version, own),
        "oci" | "docker" => container(draft, node, identifier, version, runtime, own, old)?,
        "mcpb" => bundle(draft, node, identifier, version, old)?,
        _ => return Err(Reason::WrongType("registryType".into())),
    }
    if let Some(package) = &draft.server.package {
        let unpinned = package.version.is_none() && package.registry != PackageRegistry::Mcpb;
        let args = package.args.clone();
        draft.check_arguments(&args);
        if unpinned {
            draft.warn(WarningKind::Unpinned);
        }
    }
    serves(draft, node, old)
}

/// Where the package listens, if not on standard input and output.
fn serves(draft: &mut Draft, node: &Node, old: &mut bool) -> Result<(), Reason> {
    let Some(section) = node.get("transport") else {
        return Ok(());
    };
    let Some(kind) = transport(section, old)? else {
        return Ok(());
    };
    let url = text(section, "url").ok_or_else(|| Reason::Missing("transport.url".into()))?;
    // Arguments and environment variables are its variables; its own `variables` do not count.
    let (mut parsed, mut rest) = (Text::default(), url);
    while let Some(at) = rest.find('{') {
        let known = enclosed(&rest[at..], "{", "}").filter(|(name, _)| draft.server.input(name).is_some());
        let end = if known.is_some() { at } else { at + 1 };
        parsed.push(Part::Literal(rest[..end].to_owned()));
        match known {
            Some((name, length)) => {
                parsed.push(Part::Input(name.to_owned()));
                rest = &rest[at + length..];
            }
            None => rest = &rest[end..],
        }
    }
    parsed.push(Part::Literal(rest.to_owned()));
    draft.server.serves = Some(Launch::Http {
        url: parsed,
        transport: kind,
    });
    Ok(())
}

/// Sets a launch over standard input and output: runtime arguments, the package, its arguments.
fn program(draft: &mut Draft, command: &str, runtime: Vec<Text>, words: Vec<String>, package: Package) {
    let mut args = runtime;
    args.extend(words.into_iter().map(Text::from));
    args.extend(package.args.iter().cloned());
    draft.server.launch = Launch::Stdio {
        command: command.into(),
        args,
        cwd: None,
    };
    draft.server.package = Some(package);
}

fn made(registry: PackageRegistry, name: String, version: Option<String>, args: Vec<Text>) -> Package {
    Package {
        registry,
        name,
        version,
        args,
        program: None,
    }
}

/// Returns name and exact version of a package, of which the identifier itself may hold the version.
fn pinned(
    inside: Option<Spec>,
    identifier: &str,
    version: Option<&str>,
    exact: Option<&str>,
) -> (String, Option<String>) {
    let (name, own) = match inside {
        Some(spec) => (spec.name, spec.version),
        None => (identifier.to_owned(), None),
    };
    let exact = exact.map(str::to_owned);
    (name, exact.or_else(|| own.filter(|_| version.is_none())))
}

fn npm(
    draft: &mut Draft,
    identifier: &str,
    version: Option<&str>,
    hint: Option<&str>,
    runtime: Vec<Text>,
    own: Vec<Text>,
) {
    let word = version.map_or_else(|| identifier.to_owned(), |version| format!("{identifier}@{version}"));
    let exact = version.filter(|version| is_exact_npm(version));
    let (name, exact) = pinned(npm_spec(identifier), identifier, version, exact);
    let command = hint.filter(|hint| matches!(*hint, "npx" | "bunx")).unwrap_or("npx");
    program(
        draft,
        command,
        runtime,
        vec![word],
        made(PackageRegistry::Npm, name, exact, own),
    );
}

fn pypi(
    draft: &mut Draft,
    identifier: &str,
    version: Option<&str>,
    hint: Option<&str>,
    runtime: Vec<Text>,
    own: Vec<Text>,
) {
    let word = version.map_or_else(|| identifier.to_owned(), |version| format!("{identifier}=={version}"));
    let exact = version.filter(|version| is_exact(version));
    let (name, exact) = pinned(python_spec(identifier), identifier, version, exact);
    let (command, words) = match hint {
        Some("pipx") => ("pipx", vec!["run".to_owned(), word]),
        _ => ("uvx", vec![word]),
    };
    program(
        draft,
        command,
        runtime,
        words,
        made(PackageRegistry::Pypi, name, exact, own),
    );
}

fn nuget(draft: &mut Draft, identifier: &str, version: Option<&str>, runtime: Vec<Text>, own: Vec<Text>) {
    let mut words = vec![version.map_or_else(|| identifier.to_owned(), |version| format!("{identifier}@{version}"))];
    // `dnx` would ask; and what follows `--` is the server's own.
    if !runtime
        .iter()
        .any(|word| matches!(word.literal(), Some("--yes" | "-y")))
    {
        words.push("--yes".into());
    }
    if !own.is_empty() {
        words.push("--".into());
    }
    let exact = version.filter(|version| is_exact(version)).map(str::to_owned);
    program(
        draft,
        "dnx",
        runtime,
        words,
        made(PackageRegistry::Nuget, identifier.to_owned(), exact, own),
    );
}

/// A crate is installed, not run by a runner; its program is assumed to have its name, as `cargo install` has it.
fn cargo(draft: &mut Draft, identifier: &str, version: Option<&str>, own: Vec<Text>) {
    let exact = version.filter(|version| is_exact(version)).map(str::to_owned);
    program(
        draft,
        identifier,
        Vec::new(),
        Vec::new(),
        made(PackageRegistry::Cargo, identifier.to_owned(), exact, own),
    );
}

fn bundle(draft: &mut Draft, node: &Node, url: &str, version: Option<&str>, old: &mut bool) -> Result<(), Reason> {
    let sha256 = member(node, "fileSha256", old)
        .and_then(Node::text)
        .ok_or_else(|| Reason::Missing("fileSha256".into()))?;
    draft.server.launch = Launch::Bundle {
        url: url.into(),
        sha256: sha256.to_owned(),
    };
    let exact = version.filter(|version| is_exact(version)).map(str::to_owned);
    draft.server.package = Some(made(PackageRegistry::Mcpb, url.to_owned(), exact, Vec::new()));
    Ok(())
}

fn container(
    draft: &mut Draft,
    node: &Node,
    identifier: &str,
    version: Option<&str>,
    runtime: Vec<Text>,
    own: Vec<Text>,
    old: &mut bool,
) -> Result<(), Reason> {
    let named = identifier.contains('@') || identifier.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let image = match version {
        Some(version) if !named && version.starts_with("sha256:") => format!("{identifier}@{version}"),
        Some(version) if !named && !version.is_empty() => format!("{identifier}:{version}"),
        _ => identifier.to_owned(),
    };
    let runtime = without_true_values(node, runtime, old);
    // The words as a command line would have them, with inputs as `<<NAME>>`.
    let words: Vec<String> = runtime.iter().map(Text::to_string).collect();
    if words.iter().any(|word| word == "run") {
        draft.warn(WarningKind::RunInRuntimeArguments);
    }
    let words: Vec<String> = words
        .into_iter()
        .filter(|word| word != "run" && word != "container")
        .collect();
    let options = Container::options(&words, 0);
    let known: Vec<String> = draft.server.inputs.iter().map(|input| input.name.clone()).collect();
    let text = |value: &Value| inputs_again(&value.text, &known);
    for (name, value) in &options.env {
        let Some(value) = value else {
            if !draft.server.env.contains_key(name) {
                draft.pass_env(name, InputSource::Environment, crate::names::is_secret(name));
            }
            continue;
        };
        let text = text(value);
        draft.secret_by_place(&text, Place::Env(name));
        let text = draft.safe_env(name, text);
        draft.server.env.insert(name.clone(), text);
    }
    let volumes = options.volumes.iter().map(text).collect();
    let (network, user) = (options.network.as_ref().map(text), options.user.as_ref().map(text));
    draft.container_launch(Text::from(image), own, volumes, network, user);
    draft.container_options(&options);
    Ok(())
}

/// Takes the value `true` off flags such as `-i`, which take none.
fn without_true_values(node: &Node, words: Vec<Text>, old: &mut bool) -> Vec<Text> {
    let list = member(node, "runtimeArguments", old)
        .and_then(Node::list)
        .unwrap_or_default();
    let flags: Vec<&str> = list
        .iter()
        .filter(|argument| {
            argument
                .get("value")
                .and_then(Node::scalar)
                .is_some_and(|value| value == "true")
        })
        .filter_map(|argument| text(argument, "name"))
        .collect();
    let mut kept: Vec<Text> = Vec::with_capacity(words.len());
    for word in words {
        let after_flag = kept
            .last()
            .and_then(Text::literal)
            .is_some_and(|last| flags.contains(&last));
        if !(after_flag && word.literal() == Some("true")) {
            kept.push(word);
        }
    }
    kept
}

/// Puts inputs back where `<<NAME>>` stands for them.
fn inputs_again(text: &str, known: &[String]) -> Text {
    let (mut parsed, mut rest) = (Text::default(), text);
    while let Some(at) = rest.find("<<") {
        let name = enclosed(&rest[at..], "<<", ">>").filter(|(name, _)| known.iter().any(|input| input == name));
        let end = if name.is_some() { at } else { at + 2 };
        parsed.push(Part::Literal(rest[..end].to_owned()));
        match name {
            Some((name, length)) => {
                parsed.push(Part::Input(name.to_owned()));
                rest = &rest[at + length..];
            }
            None => rest = &rest[end..],
        }
    }
    parsed.push(Part::Literal(rest.to_owned()));
    parsed
}
