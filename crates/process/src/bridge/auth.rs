//! Authorization of requests.

use http::{
    HeaderMap,
    header::{AUTHORIZATION, ORIGIN},
};
use portolan_core::Secret;

/// Returns true if a request has the bearer token, or none is configured.
pub(super) fn is_authorized(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return false;
    };
    match shown.as_bytes().split_at_checked(7) {
        Some((scheme, shown)) => {
            scheme.eq_ignore_ascii_case(b"bearer ") && constant_time_eq(token.reveal().as_bytes(), shown)
        }
        None => false,
    }
}

/// Returns true unless a web page of another host sends the request. Only browsers send an `Origin`, and only those of
/// this machine are admitted, for trying the bridge out.
pub(super) fn is_origin_allowed(headers: &HeaderMap) -> bool {
    headers.get_all(ORIGIN).iter().all(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let host = host.map_or("", |(_, host)| host);
        let port = |rest: &str| rest.is_empty() || rest.starts_with(':');
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|local| host.strip_prefix(local).is_some_and(port))
    })
}

/// Compares in a time that does not depend on where the two differ.
fn constant_time_eq(ours: &[u8], shown: &[u8]) -> bool {
    let pairs = ours.iter().zip(shown);
    let difference = pairs.fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
    difference == 0 && ours.len() == shown.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_origins_are_refused() {
        for (origin, fine) in [
            ("http://localhost", true),
            ("http://localhost:3000", true),
            ("https://[::1]:1", true),
            ("http://localhost.evil.example", false),
            ("http://evil.example:80", false),
            ("null", false),
        ] {
            let headers = HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())]);
            assert_eq!(is_origin_allowed(&headers), fine, "{origin}");
        }
        assert!(is_origin_allowed(&HeaderMap::new()));
    }

    #[test]
    fn only_exact_token_is_accepted() {
        let token = Secret::new("s3cret");
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            is_authorized(Some(&token), &headers)
        };
        assert!(check(&["Bearer s3cret"]) && check(&["bearer s3cret"]));
        for wrong in [
            "",
            "s3cret",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3cret ",
            "Basic s3cret",
        ] {
            assert!(!check(&[wrong]), "{wrong:?}");
        }
        assert!(!check(&[]) && !check(&["Bearer s3cret", "Bearer s3cret"]));
        assert!(is_authorized(None, &HeaderMap::new()));
    }
}
