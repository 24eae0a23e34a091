//! Reads the challenges of a server (RFC 9110 11.6.1, RFC 6750 3, RFC 9728 5.1).

use url::Url;

/// The parameters of the first `Bearer` challenge among the values of `WWW-Authenticate`.
///
/// Several challenges in one line, several lines, upper-case names, spaces round `=` and quoted commas are read. Text in a
/// quoted value is no parameter, and a parameter of another scheme is not taken.
///
/// ```
/// use portolan_identity::BearerChallenge;
///
/// let challenge = BearerChallenge::parse(["Basic realm=\"scope=x\", bearer scope=\"a b\", error=insufficient_scope"])
///     .expect("a challenge");
/// assert_eq!(challenge.scopes, ["a", "b"]);
/// assert_eq!(challenge.error.as_deref(), Some("insufficient_scope"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BearerChallenge {
    /// The scopes that the server wants. At most 64.
    pub scopes: Vec<String>,
    /// Where the server says who gives tokens for it.
    pub resource_metadata: Option<Url>,
    /// The error code, such as `insufficient_scope`.
    pub error: Option<String>,
}

impl BearerChallenge {
    /// Reads the values of `WWW-Authenticate`; `None` if none of them has the scheme `Bearer`.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        values
            .into_iter()
            .take(8)
            .find_map(|value| Self::parse_line(value.get(..8_192).unwrap_or(value)))
    }

    fn parse_line(line: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut is_bearer = false;
        for item in items(line) {
            let parameter = match item.split_once(|c: char| c == '=' || c.is_ascii_whitespace()) {
                // `name=value` or `name = value`: a parameter of the present challenge.
                Some((name, _)) if item[name.len()..].trim_start().starts_with('=') => item,
                Some((scheme, rest)) => {
                    if found.is_some() {
                        break;
                    }
                    is_bearer = scheme.eq_ignore_ascii_case("bearer");
                    rest.trim()
                }
                None => {
                    if found.is_some() {
                        break;
                    }
                    is_bearer = item.eq_ignore_ascii_case("bearer");
                    ""
                }
            };
            if is_bearer {
                found.get_or_insert_default().set(parameter);
            }
        }
        found
    }

    fn set(&mut self, parameter: &str) {
        let Some((name, value)) = parameter.split_once('=') else {
            return;
        };
        let value = unquoted(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "scope" if self.scopes.is_empty() => {
                self.scopes = value.split_ascii_whitespace().take(64).map(str::to_owned).collect();
            }
            "resource_metadata" if self.resource_metadata.is_none() => self.resource_metadata = Url::parse(&value).ok(),
            "error" if self.error.is_none() => self.error = Some(value),
            _ => {}
        }
    }
}

/// Splits at commas outside of quotes.
fn items(line: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&line[start..]);
    items
        .into_iter()
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let (mut out, mut escaped) = (String::new(), false);
    for character in inner.chars() {
        match character {
            _ if escaped => {
                out.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(values: &[&str]) -> Option<Vec<String>> {
        Some(BearerChallenge::parse(values.iter().copied())?.scopes)
    }

    #[test]
    fn odd_challenges_are_read() {
        let read = ["read".to_owned()];
        for values in [
            vec!["Bearer scope=\"read\""],
            vec!["bearer scope=read"],
            vec!["BEARER SCOPE = \"read\""],
            vec!["Bearer realm=\"a, \\\"b\\\", scope=x\", scope=\"read\""],
            vec!["Basic realm=\"r\", Bearer scope=\"read\""],
            vec!["Basic realm=\"r\", scope=\"other\", Bearer scope=read"],
            vec!["Bearer scope=read, Basic realm=\"r\", scope=\"other\""],
            vec!["Negotiate, Bearer scope=read"],
            vec!["Basic realm=\"r\"", "Bearer scope=read"],
            vec!["Basic abc==, Bearer scope=read"],
        ] {
            assert_eq!(scope(&values).as_deref(), Some(&read[..]), "{values:?}");
        }
    }

    #[test]
    fn other_schemes_are_no_bearer() {
        for value in [
            "",
            "Basic realm=\"Bearer scope=x\"",
            "DPoP scope=x",
            ",,,",
            "Bearerx scope=y",
        ] {
            assert_eq!(scope(&[value]), None, "{value}");
        }
        assert_eq!(scope(&["Bearer"]), Some(Vec::new()));
    }
}
