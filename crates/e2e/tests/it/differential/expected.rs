//! Where the gateway answers otherwise, and why that is right.

/// A difference that is meant.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: &'static str,
    /// The first thing that differs: `status`, `session`, `challenge`, `body`, `messages`.
    pub(super) what: &'static str,
    #[expect(dead_code, reason = "for those who read the table")]
    why: &'static str,
}

const fn status(name: &'static str, why: &'static str) -> Expected {
    Expected {
        name,
        what: "status",
        why,
    }
}

const fn messages(name: &'static str, why: &'static str) -> Expected {
    Expected {
        name,
        what: "messages",
        why,
    }
}

/// `rmcp` answers what it cannot read with 415, whose meaning is another (RFC 9110, 15.5.16).
const UNREADABLE: &str = "what is no message is 400, with the code of JSON-RPC for it";
const PARAMS: &str = "JSON-RPC 2.0, 4.2: params are an object or a list, and in MCP an object";
const WRONG: &str = "a known method with wrong params is -32602, and no unknown method";
const ID: &str = "an id is a text or a number, and is given back as it came";
const TWICE: &str = "of two values, another reader might take the other one: refused";
const ACCEPT: &str = "RFC 9110, 12.5.1: a range takes what is within it, and no header takes anything";
const VERSIONS: &str = "the gateway does not speak 2024-11-05, and says so";

const TASKS: &str = "the gateway relays tasks, and declares them whichever servers are up";

pub(super) const LEGACY: &[Expected] = &[
    messages("initialize", TASKS),
    messages("initialize a version of nobody", TASKS),
    messages("initialize the modern version", TASKS),
    messages("initialize with its version header", TASKS),
    messages("initialize 2024-11-05", VERSIONS),
    status(
        "initialize with another version header",
        "the header means something once a version has been agreed on",
    ),
    status(
        "initialize without capabilities",
        "a client that says of nothing that it can do it can do nothing",
    ),
    Expected {
        name: "initialize in a session",
        what: "session",
        why: "a handshake opens a session, whatever session went before it",
    },
    status(
        "a method of the modern era",
        "a session has no such method, and is told so as of any other",
    ),
    messages(
        "a task of nobody",
        "2025-11-25, basic/utilities/tasks: a task that is not there is -32602",
    ),
    messages("a cursor that is a number", "a cursor is a text that came from here"),
    messages("a call of nothing", WRONG),
    messages("a tool that is a number", WRONG),
    messages("a read of nothing", WRONG),
    messages("bad level", WRONG),
    status("params null", PARAMS),
    status("params a list", PARAMS),
    status("params a text", PARAMS),
    status("id float", ID),
    status("id null", UNREADABLE),
    status("id bool", UNREADABLE),
    status(
        "a response to nothing",
        "what answers no question of the gateway is not accepted",
    ),
    status(
        "an error to nothing",
        "what answers no question of the gateway is not accepted",
    ),
    status("a batch", UNREADABLE),
    status("an empty batch", UNREADABLE),
    status("JSON-RPC 1.0", UNREADABLE),
    status("no JSON-RPC", UNREADABLE),
    status("an empty object", UNREADABLE),
    status("a number", UNREADABLE),
    status("bad JSON", UNREADABLE),
    status("no body", UNREADABLE),
    status("two values", UNREADABLE),
    status("the same member twice", UNREADABLE),
    status("bytes that are no UTF-8", UNREADABLE),
    status("deeply nested", UNREADABLE),
    status("two sessions", TWICE),
    status("two version headers", TWICE),
    messages(
        "the modern version header in a session",
        "2026-07-28: a missing routing header comes before a missing `_meta`",
    ),
    status(
        "packed",
        "RFC 9110, 15.5.16: what is packed is not read as if it were not",
    ),
    status("accept nothing", ACCEPT),
    status("accept anything", ACCEPT),
    status("accept kinds of anything", ACCEPT),
    status(
        "GET without a session",
        "405 is what clients of both eras know: no stream for them here",
    ),
    status(
        "GET after an event of nobody",
        "there is no stream after an event that is not from here: 405, where an empty stream would be asked for again",
    ),
    status("DELETE", "there is nothing to say about a session that has ended: 204"),
    status("DELETE again", "2025-11-25: a session that has ended is 404"),
    status(
        "DELETE without a session",
        "405 is what clients of both eras know: no session of theirs here",
    ),
    status("DELETE of nobody", "2025-11-25: a session that is not there is 404"),
];

pub(super) const MODERN: &[Expected] = &[
    messages("discover", VERSIONS),
    status("setLevel is removed", "2026-07-28: it is removed"),
    status(
        "subscribe is removed",
        "2026-07-28: what is removed is 404 with -32601; no header is due for it",
    ),
    status(
        "unsubscribe is removed",
        "2026-07-28: what is removed is 404 with -32601; no header is due for it",
    ),
    status(
        "a task of nobody",
        "SEP-2663: a client that has not declared tasks is told that it must",
    ),
    messages("a cursor that is a number", "a cursor is a text that came from here"),
    status("a call of nothing", WRONG),
    messages(
        "bad level",
        "2026-07-28, server/utilities/logging: a level of nobody is -32602",
    ),
    status("two version headers", TWICE),
    messages("a version of nobody", VERSIONS),
    messages("a version of tomorrow", VERSIONS),
    status(
        "a legacy version in both",
        "a legacy version is spoken in a session, and named among those that are served",
    ),
    messages("no params", PARAMS),
    status("_meta a text", UNREADABLE),
    status("id float", ID),
    status("id null", UNREADABLE),
    status("id bool", UNREADABLE),
    status("a batch", UNREADABLE),
    status("bad JSON", UNREADABLE),
    status("no body", UNREADABLE),
    status("accept anything", ACCEPT),
];
