//! Matches URIs against URI templates (RFC 6570).

/// The largest number of expressions in a template.
const MOST: usize = 16;
/// The longest URI in bytes that is matched: each template of a server may be tried.
const LONGEST: usize = 8 * 1024;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// Literal characters.
    Text(Box<str>),
    /// `{name}`: one or more characters of one path segment.
    Segment,
    /// Any other expression, such as `{+path}` or `{?query}`: any characters.
    Any,
}

impl Template {
    /// Parses a template; `None` if it is not well-formed or has too many expressions.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (expression, after) = after.split_once('}')?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let first = expression.chars().next()?;
            let simple = first.is_alphanumeric() || first == '_' || first == '%';
            parts.push(if simple { Part::Segment } else { Part::Any });
            rest = after;
        }
        if rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let expressions = parts.iter().filter(|part| !matches!(part, Part::Text(_))).count();
        (1..=MOST).contains(&expressions).then_some(Self { parts })
    }

    /// Returns `true` if the template matches a URI. Takes at most as many steps as the template has parts, times the
    /// length of the URI.
    pub(crate) fn matches(&self, uri: &str) -> bool {
        let bytes = uri.as_bytes();
        if bytes.len() > LONGEST {
            return false;
        }
        if let Some(Part::Text(text)) = self.parts.first()
            && !uri.starts_with(&**text)
        {
            return false;
        }
        // The positions in the URI where the parts so far may end.
        let mut ends = vec![false; bytes.len() + 1];
        ends[0] = true;
        for part in &self.parts {
            ends = part.after(bytes, &ends);
        }
        ends.last() == Some(&true)
    }
}

impl Part {
    fn after(&self, uri: &[u8], before: &[bool]) -> Vec<bool> {
        let mut ends = vec![false; before.len()];
        match self {
            Self::Text(text) => {
                let text = text.as_bytes();
                for at in (0..before.len()).filter(|at| before[*at]) {
                    if uri[at..].starts_with(text) {
                        ends[at + text.len()] = true;
                    }
                }
            }
            Self::Segment => {
                let mut within = false;
                for at in 0..uri.len() {
                    within = (within || before[at]) && !matches!(uri[at], b'/' | b'?' | b'#');
                    ends[at + 1] = within;
                }
            }
            Self::Any => {
                let mut within = false;
                for at in 0..before.len() {
                    within |= before[at];
                    ends[at] = within;
                }
            }
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, uri: &str) -> bool {
        Template::parse(template).is_some_and(|template| template.matches(uri))
    }

    #[test]
    fn a_name_stands_for_one_segment() {
        assert!(matches("test://template/{id}/data", "test://template/123/data"));
        assert!(matches("test://{a}/{b}", "test://x/y%2Fz"));
        for other in [
            "test://template//data",
            "test://template/1/2/data",
            "test://template/1/dat",
            "x",
        ] {
            assert!(!matches("test://template/{id}/data", other), "{other}");
        }
    }

    #[test]
    fn other_expressions_stand_for_anything() {
        assert!(matches("file:///{+path}", "file:///a/b/c"));
        assert!(matches("db://t{?limit,offset}", "db://t"));
        assert!(matches("db://t{?limit,offset}", "db://t?limit=3"));
    }

    #[test]
    fn a_uri_beyond_all_measure_is_of_no_template() {
        assert!(matches("{+any}", &"a".repeat(LONGEST)));
        assert!(!matches("{+any}", &"a".repeat(LONGEST + 1)));
    }

    #[test]
    fn two_names_side_by_side_share_a_segment() {
        assert!(matches("a:{x}-{y}", "a:1-2-3"));
        assert!(!matches("a:{x}-{y}", "a:1-"));
    }

    #[test]
    fn what_is_no_template_matches_nothing() {
        for odd in ["plain://x", "a:{", "a:}", "a:{}", &"{a}".repeat(17)] {
            assert!(Template::parse(odd).is_none(), "{odd}");
        }
    }
}
