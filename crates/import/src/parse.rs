//! From text to values, in the dialect of each format.

use crate::{format::Format, node::Node};

/// The most bytes of a file.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// Parses `text`. The error is the line, counted from 1.
pub(crate) fn parse(format: Format, text: &str) -> Result<Node, usize> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Codex => toml::from_str(text).map_err(|error| line_at(text, error.span().map_or(0, |span| span.start))),
        Format::Goose | Format::Continue | Format::LibreChat | Format::DockerCatalog | Format::DockerSource => {
            yaml(text)
        }
        Format::Vscode | Format::Zed | Format::Gemini | Format::Opencode | Format::Copilot => {
            json(&without_comments(text))
        }
        _ => json(text),
    }
}

fn json(text: &str) -> Result<Node, usize> {
    serde_json::from_str(text).map_err(|error| error.line().max(1))
}

fn yaml(text: &str) -> Result<Node, usize> {
    serde_saphyr::from_str(text)
        .map_err(|error| error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1)))
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Replaces comments and commas before a closing bracket by blanks, so that lines stay where they are.
fn without_comments(text: &str) -> String {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut bytes = text.bytes().peekable();
    // Where the last comma stands that nothing but blanks has followed.
    let mut comma = None;
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'"', _) => {
                comma = None;
                out.push(byte);
                while let Some(byte) = bytes.next() {
                    out.push(byte);
                    match byte {
                        b'\\' => out.extend(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            (b'/', Some(b'/')) => while bytes.next_if(|byte| *byte != b'\n').is_some() {},
            (b'/', Some(b'*')) => {
                let mut last = b' ';
                bytes.next();
                for byte in bytes.by_ref() {
                    if byte == b'\n' {
                        out.push(byte);
                    }
                    if last == b'*' && byte == b'/' {
                        break;
                    }
                    last = byte;
                }
            }
            (b',', _) => {
                comma = Some(out.len());
                out.push(byte);
            }
            (b']' | b'}', _) => {
                if let Some(at) = comma.take() {
                    out[at] = b' ';
                }
                out.push(byte);
            }
            _ => {
                if !byte.is_ascii_whitespace() {
                    comma = None;
                }
                out.push(byte);
            }
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_commas_are_blanked() {
        let text = "{ // a\n \"u\": \"http://x/*y*/\", /* b\n */ \"l\": [1, 2, ], }";
        assert_eq!(
            json(&without_comments(text)).expect("JSON"),
            json("{\"u\":\"http://x/*y*/\",\"l\":[1,2]}").expect("JSON")
        );
    }

    #[test]
    fn error_names_the_line() {
        assert_eq!(parse(Format::Claude, "{\n\n\"a\" 1}"), Err(3));
        assert_eq!(parse(Format::Codex, "a = 1\nb = \n"), Err(2));
        assert!(parse(Format::Goose, "a: [1\nb: 2").is_err());
    }
}
