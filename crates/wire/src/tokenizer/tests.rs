use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Enters everything, and writes down what it is told.
#[derive(Default)]
struct Recorder {
    tokens: Vec<String>,
    captured: Vec<u8>,
}

impl Handler for Recorder {
    type Error = TokenError;
    const MAX_KEY: usize = 4;
    const MAX_SKIPPED_DEPTH: u32 = 3;

    fn key(&mut self, key: &[u8], _at: usize) -> Result<(), TokenError> {
        self.tokens.push(format!("key {}", String::from_utf8_lossy(key)));
        Ok(())
    }

    fn long_key(&mut self, key: &[u8], _at: usize) {
        self.tokens.push(format!("long {}", String::from_utf8_lossy(key)));
    }

    fn value(&mut self, first: u8, _at: usize, parent: Option<Container>) -> Result<ValueAction, TokenError> {
        Ok(match (first, parent) {
            (b'[', Some(Container::Array)) => ValueAction::Skip,
            (b'{' | b'[', _) => {
                self.tokens.push(char::from(first).to_string());
                ValueAction::Enter
            }
            _ => {
                self.captured = vec![first];
                ValueAction::Capture
            }
        })
    }

    fn value_part(&mut self, part: &[u8]) -> Result<(), TokenError> {
        self.captured.extend_from_slice(part);
        Ok(())
    }

    fn value_end(&mut self, _at: usize) -> Result<(), TokenError> {
        self.tokens.push(String::from_utf8_lossy(&self.captured).into_owned());
        Ok(())
    }

    fn close(&mut self, _at: usize, is_empty: bool) {
        self.tokens.push(if is_empty { "empty" } else { "end" }.to_owned());
    }
}

fn tokens(text: &[u8], size: usize) -> Result<(Vec<String>, bool), TokenError> {
    let (mut tokenizer, mut recorder) = (Tokenizer::new(), Recorder::default());
    for chunk in text.chunks(size) {
        tokenizer.push(chunk, &mut recorder)?;
    }
    Ok((recorder.tokens, tokenizer.is_complete()))
}

#[test]
fn members_and_elements_are_reported() {
    let text = br#" {"a" : [1, "x\"y" ,{}, [["skipped]"]]], "long-key":null}"#;
    let expected = [
        "{",
        "key a",
        "[",
        "1",
        r#""x\"y""#,
        "{",
        "empty",
        "end",
        "long long-",
        "null",
        "end",
    ];
    for size in [1, 3, text.len()] {
        let (tokens, is_complete) = tokens(text, size).unwrap();
        assert!(is_complete);
        assert_eq!(tokens, expected, "{size}");
    }
}

#[test]
fn malformed_structure_is_an_error() {
    for (text, error) in [
        ("{1}", TokenError::Syntax),
        ("{\"a\" 1}", TokenError::Syntax),
        ("{\"a\":1]", TokenError::Syntax),
        ("[1}", TokenError::Syntax),
        ("[1,]", TokenError::Syntax),
        ("[[1}]", TokenError::Syntax),
        ("{} {}", TokenError::Trailing),
        ("[[[[[1]]]]]", TokenError::TooDeep),
    ] {
        assert_eq!(tokens(text.as_bytes(), 1), Err(error), "{text}");
    }
}

#[test]
fn entered_containers_are_bounded() {
    let text = r#"{"a":"#.repeat(65);
    assert_eq!(tokens(text.as_bytes(), 7), Err(TokenError::TooDeep));
}

#[test]
fn incomplete_text_is_not_complete() {
    for (text, is_complete) in [
        ("", false),
        ("{", false),
        ("{}", true),
        ("12", true),
        ("\"a", false),
        ("[1", false),
    ] {
        assert_eq!(tokens(text.as_bytes(), 1).unwrap().1, is_complete, "{text:?}");
    }
}

proptest! {
    #[test]
    fn chunking_does_not_matter(text in r#"[\[\]{}:, "\\a1n]{0,24}"#, size in 1usize..9) {
        prop_assert_eq!(tokens(text.as_bytes(), size), tokens(text.as_bytes(), text.len().max(1)));
    }

    #[test]
    fn json_is_complete(key in "\\PC{0,4}", text in "\\PC{0,20}", size in 1usize..9) {
        let value: Value = json!({key: [text, 1, {}, null]});
        prop_assert!(tokens(value.to_string().as_bytes(), size).unwrap().1);
    }
}
