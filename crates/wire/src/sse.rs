//! Reads and writes event streams (`text/event-stream`).

mod decoder;
mod splitter;
mod write;

#[cfg(test)]
mod tests;

pub use self::decoder::{Decoder, Event, EventTooLarge};
pub use self::splitter::{LinePart, LineSplitter};
pub use self::write::{COMMENT, EVENT_END, EVENT_START, RETRY, event, event_with_id, id_line, priming, retry};
