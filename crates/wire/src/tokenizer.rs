//! A resumable JSON tokenizer, for texts that arrive in chunks.
//!
//! It walks through the members of the containers that its [`Handler`] enters and skips all other values: strings at the
//! speed of memory, containers by counting brackets. Skipped values are not checked, apart from that. Its state between
//! chunks is a few words and at most one key.

mod skip;

use self::skip::{ContainerSkipper, StringSkipper};

/// Receives the tokens of a text. Positions are those in the present chunk.
///
/// Calls are dispatched statically, so that a handler costs as much as a tokenizer written for it.
pub(crate) trait Handler {
    /// What stops the tokenizer.
    type Error: From<TokenError>;
    /// The longest key that is looked at, in bytes as it is written.
    const MAX_KEY: usize;
    /// How deep containers within a skipped value may nest.
    const MAX_SKIPPED_DEPTH: u32;

    /// White space outside of values was passed.
    fn space(&mut self) {}
    /// A comma between members was passed, at `at`.
    fn comma(&mut self, _at: usize) {}
    /// A key begins, with its quote at `at`.
    fn key_start(&mut self, _at: usize) {}
    /// A key ended before `at`: its text between the quotes, as it is written.
    fn key(&mut self, key: &[u8], at: usize) -> Result<(), Self::Error>;
    /// A key turned out to be longer than [`MAX_KEY`](Self::MAX_KEY), at `at`: its text so far. It gets no other call.
    fn long_key(&mut self, key: &[u8], at: usize);
    /// A value with this first byte begins at `at`, in an element of `parent`; at the root if that is `None`.
    fn value(&mut self, first: u8, at: usize, parent: Option<Container>) -> Result<ValueAction, Self::Error>;
    /// The next part of a captured value.
    fn value_part(&mut self, _part: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
    /// A captured value ended before `at`.
    fn value_end(&mut self, _at: usize) -> Result<(), Self::Error> {
        Ok(())
    }
    /// Inspects the content of a string from `at` on. Returns where it stopped, and whether it has seen enough; if not,
    /// it continues with the next chunk.
    fn inspect(&mut self, _text: &[u8], at: usize) -> (usize, bool) {
        (at, true)
    }
    /// A container that was entered ends with its bracket at `at`.
    fn close(&mut self, _at: usize, _is_empty: bool) {}
}

/// What to do with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueAction {
    /// Walk through its members or elements; a scalar is skipped.
    Enter,
    /// Skip it.
    Skip,
    /// Pass its parts to [`Handler::value_part`], without the first byte.
    Capture,
    /// Pass the beginning of a string to [`Handler::inspect`]; anything else is skipped.
    Inspect,
}

/// The kind of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Object,
    Array,
}

/// Why a text cannot be tokenized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Syntax,
    TooDeep,
    Trailing,
}

/// The tokenizer's state between chunks.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    state: State,
    /// The containers that were entered: one bit each, set for an object.
    objects: u64,
    depth: u32,
    key: Vec<u8>,
    /// The present value is passed to the handler.
    captures: bool,
}

/// What is expected next.
#[derive(Debug)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    NextKey,
    Key { escaped: bool, long: bool },
    Colon,
    Scalar,
    String(StringSkipper),
    Container(ContainerSkipper),
    Inspected,
    AfterValue,
    End,
}

impl Tokenizer {
    /// Returns a tokenizer at the beginning of a text.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Value,
            objects: 0,
            depth: 0,
            key: Vec::with_capacity(24),
            captures: false,
        }
    }

    /// Returns true if the text may end here.
    pub(crate) fn is_complete(&self) -> bool {
        match self.state {
            State::End => true,
            State::Scalar => self.depth == 0,
            _ => false,
        }
    }

    /// Returns true if the next chunk goes on with a string that is being inspected.
    pub(crate) fn is_inspecting(&self) -> bool {
        matches!(self.state, State::Inspected)
    }

    /// Takes the next chunk. Each step takes at least a byte, or ends a value.
    pub(crate) fn push<H: Handler>(&mut self, text: &[u8], handler: &mut H) -> Result<(), H::Error> {
        let mut at = 0;
        while at < text.len() {
            at = match &mut self.state {
                State::Key { .. } => self.key(text, at, handler)?,
                State::Scalar => {
                    let end = scalar_end(text, at);
                    self.in_value(text, at, end, handler)?
                }
                State::String(string) => {
                    let end = string.skip(text, at);
                    self.in_value(text, at, end, handler)?
                }
                State::Container(container) => {
                    let end = container.skip(text, at, H::MAX_SKIPPED_DEPTH)?;
                    self.in_value(text, at, end, handler)?
                }
                State::Inspected => {
                    let (next, done) = handler.inspect(text, at);
                    if done {
                        self.state = State::String(StringSkipper::default());
                    }
                    next
                }
                _ => self.between(text, at, handler)?,
            };
        }
        Ok(())
    }

    /// Takes a byte outside of keys and values.
    fn between<H: Handler>(&mut self, text: &[u8], at: usize, handler: &mut H) -> Result<usize, H::Error> {
        let byte = text[at];
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            handler.space();
            return Ok(at + 1);
        }
        match (&self.state, byte) {
            (State::FirstKey, b'}') | (State::FirstElement, b']') => self.close(handler, at, true),
            (State::FirstKey | State::NextKey, b'"') => {
                self.key.clear();
                self.state = State::Key {
                    escaped: false,
                    long: false,
                };
                handler.key_start(at);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Value | State::FirstElement, _) => self.begin_value(byte, at, handler)?,
            (State::AfterValue, b',') if self.is_in_object() => {
                self.state = State::NextKey;
                handler.comma(at);
            }
            (State::AfterValue, b',') => self.state = State::Value,
            (State::AfterValue, b'}') if self.is_in_object() => self.close(handler, at, false),
            (State::AfterValue, b']') if !self.is_in_object() => self.close(handler, at, false),
            (State::End, _) => return Err(TokenError::Trailing.into()),
            _ => return Err(TokenError::Syntax.into()),
        }
        Ok(at + 1)
    }

    fn key<H: Handler>(&mut self, text: &[u8], mut at: usize, handler: &mut H) -> Result<usize, H::Error> {
        let State::Key { mut escaped, mut long } = self.state else {
            return Err(TokenError::Syntax.into());
        };
        while let Some(&byte) = text.get(at) {
            at += 1;
            match byte {
                b'"' if !escaped => {
                    self.state = State::Colon;
                    if !long {
                        handler.key(&self.key, at)?;
                    }
                    return Ok(at);
                }
                0..0x20 => return Err(TokenError::Syntax.into()),
                _ => escaped = byte == b'\\' && !escaped,
            }
            if !long {
                self.key.push(byte);
                if self.key.len() > H::MAX_KEY {
                    long = true;
                    handler.long_key(&self.key, at);
                }
            }
        }
        self.state = State::Key { escaped, long };
        Ok(at)
    }

    fn begin_value<H: Handler>(&mut self, first: u8, at: usize, handler: &mut H) -> Result<(), H::Error> {
        let action = handler.value(first, at, self.parent())?;
        self.captures = action == ValueAction::Capture;
        self.state = match (first, action) {
            (b'{', ValueAction::Enter) => self.open(Container::Object)?,
            (b'[', ValueAction::Enter) => self.open(Container::Array)?,
            (b'"', ValueAction::Inspect) => State::Inspected,
            (b'"', _) => State::String(StringSkipper::default()),
            (b'{' | b'[', _) => State::Container(ContainerSkipper::new(first)),
            (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', _) => State::Scalar,
            _ => return Err(TokenError::Syntax.into()),
        };
        Ok(())
    }

    /// The present value goes on to `end`, or beyond the chunk.
    fn in_value<H: Handler>(
        &mut self,
        text: &[u8],
        at: usize,
        end: Option<usize>,
        handler: &mut H,
    ) -> Result<usize, H::Error> {
        let until = end.unwrap_or(text.len());
        if self.captures {
            handler.value_part(&text[at..until])?;
        }
        if end.is_some() {
            self.end_value();
            if self.captures {
                handler.value_end(until)?;
            }
        }
        Ok(until)
    }

    fn end_value(&mut self) {
        self.state = if self.depth == 0 { State::End } else { State::AfterValue };
    }

    fn open(&mut self, container: Container) -> Result<State, TokenError> {
        if self.depth == u64::BITS {
            return Err(TokenError::TooDeep);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(container == Container::Object);
        Ok(match container {
            Container::Object => State::FirstKey,
            Container::Array => State::FirstElement,
        })
    }

    fn close<H: Handler>(&mut self, handler: &mut H, at: usize, is_empty: bool) {
        handler.close(at, is_empty);
        self.objects >>= 1;
        self.depth -= 1;
        self.end_value();
    }

    /// Within a container: returns true if that is an object.
    fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn parent(&self) -> Option<Container> {
        match self.depth {
            0 => None,
            _ if self.is_in_object() => Some(Container::Object),
            _ => Some(Container::Array),
        }
    }
}

fn scalar_end(text: &[u8], at: usize) -> Option<usize> {
    let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
    text[at..].iter().position(is_end).map(|length| at + length)
}

#[cfg(test)]
mod tests;
