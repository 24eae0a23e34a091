//! The templates of Docker's catalogue: `{{NAME.path|filter}}`, and `$VAR` in environment variables.

use std::collections::HashMap;

use crate::placeholder::{Found, Piece, bare_name, enclosed, is_name, split};
use crate::{Input, Part, Text};

/// What the templates of one entry may name.
pub(super) struct Names {
    /// The settings, by their path below the name of their section.
    pub(super) settings: HashMap<String, (Input, Option<bool>)>,
    /// The names of settings' sections, and of the entry.
    pub(super) sections: Vec<String>,
    /// The variables of secrets.
    pub(super) secrets: HashMap<String, Input>,
}

/// A text with what it names.
pub(super) struct Expanded {
    pub(super) text: Text,
    pub(super) inputs: Vec<(Input, Option<bool>)>,
    /// It would be longer than [`MAX_ENV`].
    pub(super) too_long: bool,
}

/// The most bytes of a variable that is made of others.
const MAX_ENV: usize = 64 * 1024;

impl Names {
    /// Expands templates. A name that is not declared becomes an input of the user.
    pub(super) fn template(&self, text: &str) -> Expanded {
        let mut expanded = Expanded {
            text: Text::default(),
            inputs: Vec::new(),
            too_long: false,
        };
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            expanded.text.push(Part::Literal(rest[..at].to_owned()));
            let Some((inner, length)) = enclosed(&rest[at..], "{{", "}}") else {
                rest = &rest[at..];
                break;
            };
            self.one(inner, &mut expanded);
            rest = &rest[at + length..];
        }
        expanded.text.push(Part::Literal(rest.to_owned()));
        expanded
    }

    fn one(&self, inner: &str, expanded: &mut Expanded) {
        let mut parts = inner.split('|').map(str::trim);
        let whole = parts.next().unwrap_or_default();
        let section = self
            .sections
            .iter()
            .find_map(|section| whole.strip_prefix(section.as_str())?.strip_prefix('.'));
        let path = section
            .or_else(|| whole.split_once('.').map(|(_, path)| path))
            .unwrap_or(whole);
        if path.is_empty() {
            return;
        }
        let (mut input, secret) = self
            .settings
            .get(path)
            .cloned()
            .unwrap_or_else(|| (super::docker::setting(path), None));
        let value = Part::Input(path.to_owned());
        let mut text = Text::new([value.clone()]);
        for filter in parts {
            match filter.split_once(':').map_or((filter, ""), |(name, rest)| (name, rest)) {
                ("volume", _) => text = Text::new([value.clone(), Part::Literal(":".into()), value.clone()]),
                ("mount_as", target) => text = Text::new([value.clone(), Part::Literal(format!(":{target}"))]),
                ("or", default) if input.default.is_none() => {
                    input.default = Some(default.into());
                    input.required = false;
                }
                // `into`, `first`, `last` and `volume-target` choose among or pass on values.
                _ => {}
            }
        }
        expanded.text.push_text(&text);
        expanded.inputs.push((input, secret));
    }

    /// Expands an environment variable. `earlier` are the variables before it.
    pub(super) fn env(&self, text: &str, earlier: &HashMap<String, Text>) -> Expanded {
        if text.contains("{{") {
            let mut expanded = self.template(text);
            // Beside templates, single braces vanish.
            let parts = expanded.text.parts().iter().map(|part| match part {
                Part::Literal(text) => Part::Literal(text.replace(['{', '}'], "")),
                other => other.clone(),
            });
            expanded.text = Text::new(parts.collect::<Vec<_>>());
            return expanded;
        }
        self.dollars(text, true, earlier)
    }

    /// Expands a header: `${VAR}` of secrets.
    pub(super) fn header(&self, text: &str) -> Expanded {
        if text.contains("{{") {
            return self.template(text);
        }
        self.dollars(text, false, &HashMap::new())
    }

    fn dollars(&self, text: &str, bare: bool, earlier: &HashMap<String, Text>) -> Expanded {
        let scan = |text: &str| {
            let (name, length) = match enclosed(text, "${", "}").filter(|(name, _)| is_name(name)) {
                Some(braced) => braced,
                None => bare
                    .then(|| bare_name(text))
                    .flatten()
                    .map(|name| (name, name.len() + 1))?,
            };
            // The name alone; what it stands for is looked up below.
            Some((length, Found::Undeclared(name.to_owned())))
        };
        let mut expanded = Expanded {
            text: Text::default(),
            inputs: Vec::new(),
            too_long: false,
        };
        let mut length = 0;
        for piece in split(text, &scan) {
            match piece {
                Piece::Plain(plain) => expanded.text.push(Part::Literal(plain.to_owned())),
                Piece::Found(Found::Undeclared(name)) => {
                    if let Some(input) = self.secrets.get(&name) {
                        expanded.text.push(Part::Input(name));
                        expanded.inputs.push((input.clone(), Some(true)));
                    } else if let Some(value) = earlier.get(&name) {
                        // Variables of variables grow with each step; what is too long is cut off, and refused by the caller.
                        length += value.len();
                        if length > MAX_ENV {
                            expanded.too_long = true;
                            break;
                        }
                        expanded.text.push_text(value);
                    }
                    // Others are empty.
                }
                Piece::Found(_) => {}
            }
        }
        expanded
    }
}
