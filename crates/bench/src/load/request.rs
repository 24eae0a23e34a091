//! Requests, rendered once per client: a call changes only the digits of its id.

use std::fmt::Write as _;
use std::io::Write as _;

use super::target::Target;
use crate::cell::Era;

/// The first id of every client. All ids have ten digits, so that a request keeps its length; all clients use the
/// same ones, so that a gateway that does not map ids fails by mixing up responses.
pub(crate) const FIRST_ID: u64 = 1_000_000_000;

/// Up to this size, calls go to `echo`, whose response identifies the call; above it, to `big`,
/// whose text is only counted.
pub(super) const LARGEST_ECHO: usize = 1024;

/// A rendered request, with the places of its id.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    id_offsets: Vec<usize>,
}

impl Request {
    /// Returns the request with this id.
    pub(crate) fn with_id(&mut self, id: u64) -> &[u8] {
        for offset in &self.id_offsets {
            // All ids have ten digits, so the write always fits.
            let _ = write!(&mut self.bytes[*offset..*offset + 10], "{id}");
        }
        &self.bytes
    }

    fn new(head: &str, body: &str) -> Self {
        let bytes = format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let digits = FIRST_ID.to_string();
        let id_offsets = memchr::memmem::find_iter(&bytes, &digits).collect();
        Self { bytes, id_offsets }
    }
}

/// Renders `tools/call` for one client.
pub(crate) fn call(target: &Target, era: Era, client: usize, bytes: usize, session: Option<&str>) -> Request {
    let (tool, arguments) = if bytes <= LARGEST_ECHO {
        (
            "echo",
            format!(r#"{{"text":"{}"}}"#, echo_text(client, FIRST_ID, bytes)),
        )
    } else {
        ("big", format!(r#"{{"bytes":{bytes}}}"#))
    };
    let mut head = head(target, "POST", era, session);
    if era == Era::Modern {
        let _ = write!(head, "mcp-method: tools/call\r\nmcp-name: {tool}\r\n");
    }
    Request::new(&head, &call_body(era, tool, &arguments))
}

/// Renders the body of `tools/call` with the first id.
pub(crate) fn call_body(era: Era, tool: &str, arguments: &str) -> String {
    let meta = if era == Era::Modern { modern_meta() } else { "" };
    format!(
        r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}{meta}}}}}"#
    )
}

/// Returns `_meta` as a further member of a modern request's params.
fn modern_meta() -> &'static str {
    concat!(
        r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{},"#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"portolan-bench","version":"1"}}"#
    )
}

/// Returns the argument of `echo`, which is unique for each client and id.
pub(crate) fn echo_text(client: usize, id: u64, bytes: usize) -> String {
    let mut text = format!("client {client:06} call {id} ");
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
    text
}

/// Renders `initialize`.
pub(crate) fn initialize(target: &Target) -> Request {
    Request::new(&head(target, "POST", Era::Legacy, None), &initialize_body())
}

/// Renders the body of `initialize`.
pub(crate) fn initialize_body() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"portolan-bench","version":"1"}}}}}}"#
    )
}

/// Renders the body of `server/discover`.
pub(crate) fn discover_body() -> String {
    let meta = modern_meta().trim_start_matches(',');
    format!(r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"server/discover","params":{{{meta}}}}}"#)
}

/// Renders `notifications/initialized`.
pub(crate) fn initialized(target: &Target, session: Option<&str>) -> Request {
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    Request::new(&head(target, "POST", Era::Legacy, session), body)
}

/// Renders the request that ends a session.
pub(crate) fn delete(target: &Target, session: &str) -> Request {
    Request::new(&head(target, "DELETE", Era::Legacy, Some(session)), "")
}

fn head(target: &Target, method: &str, era: Era, session: Option<&str>) -> String {
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n",
        target.path, target.address, target.token
    );
    if let Some(session) = session {
        let _ = write!(head, "mcp-session-id: {session}\r\n");
    }
    let version = match era {
        Era::Legacy => "2025-11-25",
        Era::Modern => "2026-07-28",
    };
    let _ = write!(head, "mcp-protocol-version: {version}\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_in_body_and_text() {
        let target = Target::parse("http://127.0.0.1:80/mcp", "secret").unwrap();
        let mut request = call(&target, Era::Modern, 7, 64, None);
        let text = String::from_utf8(request.with_id(FIRST_ID + 42).to_vec()).unwrap();
        assert!(text.contains(r#""id":1000000042,"#), "{text}");
        assert!(text.contains(&echo_text(7, FIRST_ID + 42, 64)), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
