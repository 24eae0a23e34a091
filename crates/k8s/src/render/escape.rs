//! Text that Kubernetes shall leave alone.

/// `text` such that it comes out of Kubernetes' own expansion of `$(NAME)` as it went in.
///
/// In commands, arguments and plain environment values, `$(NAME)` stands for a variable and `$$` for `$`. An answer of a
/// person is neither.
pub(crate) fn escaped(text: &str) -> String {
    if text.contains("$(") || text.contains("$$") {
        text.replace('$', "$$")
    } else {
        text.to_owned()
    }
}

/// The same for each of `texts`.
pub(super) fn all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| escaped(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `k8s.io/kubernetes/third_party/forked/golang/expansion` does it, with no variable known.
    fn expanded(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, rest.peek()) {
                ('$', Some('$')) => {
                    rest.next();
                    out.push('$');
                }
                ('$', Some('(')) => out.push_str("<a variable>"),
                (c, _) => out.push(c),
            }
        }
        out
    }

    #[test]
    fn no_text_is_expanded() {
        for text in [
            "",
            "$",
            "a$b",
            "$(A)",
            "$$",
            "$$(A)",
            "a$$$(B)c$",
            "${user_config.x}",
            "x$",
        ] {
            assert_eq!(expanded(&escaped(text)), text);
        }
    }
}
