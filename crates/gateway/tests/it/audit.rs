//! Audit records: of calls, of denied calls, of failed logins.

mod calls;
mod denials;
mod logins;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Checks the form of a request's identifier.
#[track_caller]
fn is_request_id(id: Option<&str>) {
    let id = id.expect("a request id");
    assert!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
}
