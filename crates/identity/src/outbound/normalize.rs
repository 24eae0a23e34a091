//! Makes answers of token endpoints what RFC 6749 says they are, before they are parsed.

use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{
    error::{OAuthError, words},
    json,
};

/// What a token endpoint answered, for errors in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    status: u16,
    retry_after: Option<String>,
    code: Option<String>,
    description: String,
    /// The first bytes of a body that is no token answer.
    start: String,
}

/// Error codes of providers that mean one of RFC 6749 5.2.
const CODES: [(&str, &str); 9] = [
    ("bad_refresh_token", "invalid_grant"),
    ("bad_verification_code", "invalid_grant"),
    ("invalid_refresh_token", "invalid_grant"),
    ("invalid_code", "invalid_grant"),
    ("token_revoked", "invalid_grant"),
    ("incorrect_client_credentials", "invalid_client"),
    ("bad_client_secret", "invalid_client"),
    ("invalid_client_id", "invalid_client"),
    ("unauthorized_client", "invalid_client"),
];

/// Repairs `answer`, and tells what it was. `secrets` are kept out of what is told.
///
/// - A 2xx is 200; an `error`, or `ok: false`, under 200 is 400.
/// - A form is JSON, and so is JSON of another content type.
/// - `expires_in` as text or with a fraction is an integer; one that is not above zero goes.
/// - `scope` as an array, or with commas and no space, is separated by spaces; an empty one goes.
/// - An empty or null `refresh_token` goes; a missing `token_type` is `Bearer`.
/// - A user's token below `authed_user` is taken where there is no other.
pub(super) fn normalize(answer: Response<bytes::Bytes>, secrets: &[&str]) -> (Response<Vec<u8>>, Seen) {
    let (parts, body) = answer.into_parts();
    let mut seen = Seen {
        status: parts.status.as_u16(),
        retry_after: text(&parts.headers, header::RETRY_AFTER),
        ..Seen::default()
    };
    let mut status = if parts.status.is_success() {
        StatusCode::OK
    } else {
        parts.status
    };
    let Some(mut object) = json::object(&body).or_else(|| form(&body)) else {
        let start = String::from_utf8_lossy(&body[..body.len().min(256)]).into_owned();
        seen.start = words(&start, secrets);
        return (answer_of(status, body.to_vec()), seen);
    };
    let error = json::text(&object, "error").or_else(|| {
        let inner = object.get("error").and_then(Value::as_object)?;
        json::text(inner, "code")
            .or_else(|| json::text(inner, "type"))
            .or_else(|| Some("error".into()))
    });
    let refused = error.is_some() || object.get("ok") == Some(&Value::Bool(false));
    if status == StatusCode::OK && refused {
        status = StatusCode::BAD_REQUEST;
        seen.status = 400;
    }
    if status == StatusCode::OK {
        repair(&mut object);
    } else {
        let code = error.unwrap_or_else(|| "error".into());
        let known = CODES
            .iter()
            .find(|(odd, _)| *odd == code)
            .map(|(_, code)| (*code).to_owned());
        let told = ["error_description", "message", "error_message"]
            .iter()
            .find_map(|name| json::text(&object, name));
        seen.description = words(&told.unwrap_or_else(|| code.clone()), secrets);
        seen.code = refused.then(|| known.unwrap_or_else(|| words(&code, secrets)));
        object.insert("error".into(), Value::String(code));
    }
    let body = serde_json::to_vec(&object).unwrap_or_default();
    (answer_of(status, body), seen)
}

fn answer_of(status: StatusCode, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    answer
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.chars().take(64).collect())
}

/// Reads a form, if it is a token answer or an error.
fn form(body: &[u8]) -> Option<Map<String, Value>> {
    let is_answer = |name: &str| matches!(name, "access_token" | "error");
    let pairs: Vec<_> = form_urlencoded::parse(body).take(64).collect();
    pairs.iter().any(|(name, _)| is_answer(name)).then(|| {
        let members = pairs
            .into_iter()
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        members.collect()
    })
}

fn repair(object: &mut Map<String, Value>) {
    if json::text(object, "access_token").is_none()
        && let Some(Value::Object(user)) = object.remove("authed_user")
    {
        for name in ["access_token", "refresh_token", "expires_in", "scope", "token_type"] {
            if let Some(value) = user.get(name) {
                object.insert(name.to_owned(), value.clone());
            }
        }
    }
    let expires = object.get("expires_in").and_then(seconds);
    set(object, "expires_in", expires.map(Value::from));
    let scope = object.get("scope").and_then(scopes);
    set(object, "scope", scope.map(Value::String));
    let refresh = json::text(object, "refresh_token");
    set(object, "refresh_token", refresh.map(Value::String));
    let kind = json::text(object, "token_type").unwrap_or_else(|| "Bearer".into());
    set(object, "token_type", Some(Value::String(kind)));
}

fn set(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.remove(name),
    };
}

/// Reads a number of seconds above zero.
fn seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Ten years: more is no lifetime, and would not fit a time.
    (number >= 1.0).then(|| number.min(315_360_000.0) as u64)
}

fn scopes(value: &Value) -> Option<String> {
    let scopes: Vec<&str> = match value {
        Value::String(text) if !text.trim().contains(' ') => text.split(',').collect(),
        Value::String(text) => text.split(' ').collect(),
        Value::Array(elements) => elements.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let scopes: Vec<&str> = scopes
        .into_iter()
        .map(str::trim)
        .filter(|scope| !scope.is_empty())
        .collect();
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

impl Seen {
    /// Returns the error that the answer is, if it is no token.
    pub(super) fn into_error(self, host: &str) -> OAuthError {
        let Self { status, code, .. } = &self;
        match code.as_deref() {
            Some("invalid_grant") if *status == 400 => OAuthError::Revoked(self.description),
            Some("invalid_client") if matches!(status, 400 | 401 | 403) => OAuthError::ClientRefused(self.description),
            // Trouble that passes, whatever the body says.
            Some("temporarily_unavailable" | "server_error" | "slow_down") => self.failing(host),
            Some(code) if matches!(status, 400..=428 | 430..=499) => OAuthError::Refused {
                code: code.to_owned(),
                message: self.description,
            },
            _ => self.failing(host),
        }
    }

    fn failing(&self, host: &str) -> OAuthError {
        let mut message = match self.status {
            200 => format!("{host} answered without a token"),
            300..=399 => format!("{host} redirected the request ({}), which is not followed", self.status),
            status => format!("{host} answered {status}"),
        };
        if let Some(after) = &self.retry_after {
            message.push_str(&format!(" and asked to wait {}", words(after, &[])));
        }
        if !self.start.is_empty() && self.status >= 300 {
            message.push_str(&format!(" with no OAuth error: {}", self.start));
        }
        OAuthError::Failing {
            message,
            maybe_done: self.status == 200,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(body: &str) -> Map<String, Value> {
        let (answer, _) = normalize(Response::new(bytes::Bytes::copy_from_slice(body.as_bytes())), &[]);
        assert_eq!(answer.status(), 200, "{body}");
        json::object(answer.body()).expect("JSON")
    }

    #[test]
    fn lifetime_is_an_integer_or_absent() {
        for (given, expected) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3600.5", Some(3600)),
            ("0", None),
            ("-1", None),
            ("null", None),
            ("\"soon\"", None),
            ("1e300", Some(315_360_000)),
        ] {
            let found = repaired(&format!(r#"{{"access_token":"t","expires_in":{given}}}"#));
            assert_eq!(found.get("expires_in").and_then(Value::as_u64), expected, "{given}");
        }
    }

    #[test]
    fn scope_is_separated_by_spaces() {
        for (given, expected) in [
            (r#""a b""#, Some("a b")),
            (r#""a  b ""#, Some("a b")),
            (r#""a,b""#, Some("a b")),
            (r#"["a","b"]"#, Some("a b")),
            (r#""""#, None),
            ("null", None),
        ] {
            let found = repaired(&format!(r#"{{"access_token":"t","scope":{given}}}"#));
            assert_eq!(found.get("scope").and_then(Value::as_str), expected, "{given}");
        }
    }

    #[test]
    fn any_body_is_answered() {
        for body in [
            "",
            "[]",
            "null",
            "<html>",
            "\u{0}",
            "{\"error\":[]}",
            "{\"error\":{}}",
            "{\"ok\":false}",
        ] {
            for status in [200, 201, 204, 302, 400, 401, 429, 500, 503] {
                let mut answer = Response::new(bytes::Bytes::copy_from_slice(body.as_bytes()));
                *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
                let (_, seen) = normalize(answer, &[]);
                assert!(
                    !matches!(seen.into_error("p"), OAuthError::Revoked(_)),
                    "{status} {body}"
                );
            }
        }
    }
}
