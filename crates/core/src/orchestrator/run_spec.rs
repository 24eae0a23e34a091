//! Computes the run spec of an install.

use crate::{Delivery, EnvValue, Error, Field, FieldKey, Install, Result, RunSpec, ServerSpec, Source};

/// Computes what a runtime is asked to run for `install` of `server`.
///
/// Answers reach the server as its fields say: as environment variables, as files, or in its arguments, where
/// `${user_config.<key>}` stands for an answer. An argument that is nothing but the placeholder of an unanswered field is
/// left out. Secrets are named by their keys; placeholders within answers are not expanded.
///
/// ```
/// use portolan_core::{Clock, Install, InstallName, Owner, ServerSpec, SystemClock, orchestrator::run_spec};
///
/// let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
/// let name = InstallName::new(&SystemClock);
/// let install = Install::new(name, server.name.clone(), Owner::Org, SystemClock.now());
/// assert_eq!(run_spec(&server, &install)?.source, server.source);
/// # Ok::<(), portolan_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Invalid`] for a remote server, for a placeholder that names no field or a secret one, and for a required field
/// without an answer.
pub fn run_spec(server: &ServerSpec, install: &Install) -> Result<RunSpec> {
    let mut source = server.source.clone();
    match &mut source {
        Source::Remote { .. } => {
            return Err(Error::invalid(
                "source",
                format!("server {:?} runs elsewhere", server.name.as_str()),
            ));
        }
        Source::Command { args, .. } | Source::Image { args, .. } => *args = arguments(server, install, args)?,
    }
    let mut spec = RunSpec::new(server.name.clone(), install.owner.clone(), source);
    spec.era = server.era;
    spec.sharing = server.sharing;
    spec.server_requests = server.server_requests;
    spec.kubernetes = server.kubernetes.clone();
    for field in &server.fields {
        let Some(value) = value(field, install)? else {
            continue;
        };
        match &field.delivery {
            Delivery::Env { name } => drop(spec.env.insert(name.clone(), value)),
            Delivery::File { name } => drop(spec.files.insert(name.clone(), value)),
            Delivery::Argument | Delivery::Header { .. } => {}
        }
    }
    Ok(spec)
}

fn value(field: &Field, install: &Install) -> Result<Option<EnvValue>> {
    let value = if field.secret {
        install.secrets.get(&field.key).cloned().map(EnvValue::Secret)
    } else {
        answer(field, install).map(|text| EnvValue::Plain(text.to_owned()))
    };
    if value.is_none() && field.required {
        return Err(Error::invalid(
            field.key.as_str(),
            "is required and has no answer; install again and give it",
        ));
    }
    Ok(value)
}

fn answer<'a>(field: &'a Field, install: &'a Install) -> Option<&'a str> {
    install
        .answers
        .get(&field.key)
        .or(field.default.as_ref())
        .map(String::as_str)
}

fn arguments(server: &ServerSpec, install: &Install, args: &[String]) -> Result<Vec<String>> {
    let mut filled = Vec::with_capacity(args.len());
    for arg in args {
        filled.extend(argument(server, install, arg)?);
    }
    Ok(filled)
}

const OPEN: &str = "${user_config.";

/// One argument with its placeholders filled in; `None` when it is nothing but one that has no answer.
fn argument(server: &ServerSpec, install: &Install, arg: &str) -> Result<Option<String>> {
    let mut filled = String::new();
    let mut rest = arg;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (key, after) = after
            .split_once('}')
            .ok_or_else(|| Error::invalid("args", format!("a placeholder in {arg:?} has no end")))?;
        filled.push_str(before);
        match answer(placeholder(server, key)?, install) {
            Some(text) => filled.push_str(text),
            None if arg.len() == OPEN.len() + key.len() + 1 => return Ok(None),
            None => {}
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

fn placeholder<'a>(server: &'a ServerSpec, key: &str) -> Result<&'a Field> {
    let named = FieldKey::parse(key).ok().and_then(|key| server.field_named(&key));
    match named {
        None => Err(Error::invalid(
            "args",
            format!("${{user_config.{key}}} stands for no field of this server"),
        )),
        Some(field) if field.secret => Err(Error::invalid(
            "args",
            format!("${{user_config.{key}}} is a secret, and process lists show arguments; use Delivery::Env or File"),
        )),
        Some(field) => Ok(field),
    }
}
