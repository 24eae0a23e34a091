//! The templates of Docker's catalogue: `{{server.path|filter}}`, and `$VAR`.

use std::collections::BTreeMap;

use crate::{draft::Draft, model::Input, placeholder::is_identifier};

/// The templates of one server.
pub(super) struct Template<'a> {
    pub(super) server: &'a str,
}

impl Template<'_> {
    /// Fills in `{{ }}`.
    pub(super) fn fill(&self, draft: &mut Draft, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            out.push_str(&rest[..start]);
            rest = &rest[start + 2..];
            let Some(end) = rest.find("}}") else {
                out.push_str("{{");
                break;
            };
            let filled = self.expression(draft, rest[..end].trim());
            out.push_str(&filled);
            rest = &rest[end + 2..];
        }
        out.push_str(rest);
        out
    }

    fn expression(&self, draft: &mut Draft, expression: &str) -> String {
        let mut parts = expression.split('|').map(str::trim);
        let path = parts.next().unwrap_or_default();
        let path = path
            .strip_prefix(self.server)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(path);
        let default = parts.clone().find_map(|filter| filter.strip_prefix("or:"));
        // One that is declared is known already.
        let is_known = draft.server.inputs.iter().any(|input| input.name == path);
        let reference = if is_known {
            format!("<<{path}>>")
        } else {
            draft.input(Input {
                name: path.to_owned(),
                secret: crate::draft::is_secret_name(path),
                source: "user",
                ..Input::default()
            })
        };
        if let Some(default) = default
            && let Some(input) = draft.server.inputs.iter_mut().find(|input| input.name == path)
        {
            input
                .default
                .get_or_insert_with(|| default.trim_matches(['\'', '"']).into());
            input.required = false;
        }
        parts.fold(reference, |value, filter| match filter.split_once(':') {
            _ if filter == "volume" => format!("{value}:{value}"),
            Some(("mount_as", target)) => format!("{value}:{target}"),
            _ => value,
        })
    }
}

/// Fills in `$V` and `${V}` from what is known; others are empty.
pub(super) fn shell(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let (name, length) = match rest
            .strip_prefix('{')
            .and_then(|inner| inner.find('}').map(|end| &inner[..end]))
        {
            Some(name) => (name, name.len() + 2),
            None => {
                let end = rest
                    .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
                    .unwrap_or(rest.len());
                (&rest[..end], end)
            }
        };
        if is_identifier(name) {
            out.push_str(known.get(name).map_or("", String::as_str));
            rest = &rest[length..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}
