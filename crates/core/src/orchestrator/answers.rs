//! Checks all answers against the fields of a server before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderValue;

use crate::{Answers, Delivery, Error, Field, FieldKey, Result, Secret, ServerSpec};

/// The most bytes of one answer.
const MAX_ANSWER: usize = 64 * 1024;

/// Answers that fit the fields of their server.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) plain: BTreeMap<FieldKey, String>,
    pub(super) secrets: BTreeMap<FieldKey, Secret>,
}

/// Checks `answers` against the fields of `server`. `stored` are the secret fields for which the server has a secret itself,
/// so that an install need not give one.
pub(super) fn check(server: &ServerSpec, answers: &Answers, stored: &BTreeSet<FieldKey>) -> Result<Checked> {
    let mut problems = unknown(server, answers);
    let mut checked = Checked::default();
    for field in &server.fields {
        if let Err(problem) = check_field(field, answers, stored.contains(&field.key), &mut checked) {
            problems.push((field.key.to_string(), problem));
        }
    }
    match problems.as_slice() {
        [] => Ok(checked),
        [(key, problem)] => Err(Error::invalid(key, problem)),
        several => {
            let lines: Vec<_> = several
                .iter()
                .map(|(key, problem)| format!("{key} {problem}"))
                .collect();
            Err(Error::invalid("answers", lines.join("; ")))
        }
    }
}

/// Finds answers to fields that the server does not have. They are errors, because a mistyped key loses its answer.
fn unknown(server: &ServerSpec, answers: &Answers) -> Vec<(String, String)> {
    let known = |key: &&String| server.fields.iter().any(|field| field.key.as_str() == key.as_str());
    let given: BTreeSet<&String> = answers.plain().keys().chain(answers.secrets().keys()).collect();
    let asked: Vec<&str> = server.fields.iter().map(|field| field.key.as_str()).collect();
    let problem = match asked.as_slice() {
        [] => "is not asked for; this server asks for nothing".to_owned(),
        asked => format!("is not asked for; this server asks for {}", asked.join(", ")),
    };
    let unknown = given.into_iter().filter(|key| !known(key));
    unknown
        .map(|key| (key.chars().take(64).collect(), problem.clone()))
        .collect()
}

fn check_field(field: &Field, answers: &Answers, is_stored: bool, checked: &mut Checked) -> Result<(), String> {
    let key = field.key.as_str();
    match (answers.plain().get(key), answers.secrets().get(key)) {
        (Some(_), _) if field.secret => Err("is a secret; give it with Answers::secret".into()),
        (_, Some(_)) if !field.secret => Err("is no secret; give it with Answers::set".into()),
        (Some(text), _) => {
            check_text(field, text)?;
            checked.plain.insert(field.key.clone(), text.clone());
            Ok(())
        }
        (None, Some(secret)) => {
            check_text(field, secret.reveal())?;
            checked.secrets.insert(field.key.clone(), secret.clone());
            Ok(())
        }
        (None, None) if field.required && field.default.is_none() && !is_stored => Err("is required".into()),
        (None, None) => Ok(()),
    }
}

/// Checks `text`. The error does not repeat it, because it may be a secret.
fn check_text(field: &Field, text: &str) -> Result<(), String> {
    if text.is_empty() && field.required {
        return Err("is required, so it must not be empty".into());
    }
    if text.len() > MAX_ANSWER {
        return Err(format!("has {} bytes; at most {MAX_ANSWER} fit", text.len()));
    }
    if let Err(Error::Invalid { problem, .. }) = field.check_answer(text) {
        return Err(problem);
    }
    match &field.delivery {
        Delivery::Header { .. } if HeaderValue::from_str(text).is_err() => {
            Err("has characters that no header may have, such as a line break".into())
        }
        _ => Ok(()),
    }
}
