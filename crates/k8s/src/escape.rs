//! Escaping of text against the variable expansion of Kubernetes.

/// Escapes `text` so that Kubernetes' expansion of `$(NAME)` leaves it unchanged.
///
/// In commands, arguments and plain environment values, Kubernetes replaces `$(NAME)` by a variable and `$$` by `$`. Answers
/// of users must not be expanded.
pub(crate) fn escaped(text: &str) -> String {
    if text.contains("$(") || text.contains("$$") {
        text.replace('$', "$$")
    } else {
        text.to_owned()
    }
}

/// Escapes each of `texts`.
pub(crate) fn all_escaped(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| escaped(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expands like `k8s.io/kubernetes/third_party/forked/golang/expansion`, with no variable defined.
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
    fn escaped_text_is_not_expanded() {
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
