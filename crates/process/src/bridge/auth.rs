//! Who may call.

use http::{HeaderMap, header::AUTHORIZATION};
use portolan_core::Secret;

/// Whether a request shows the token, where there is one.
pub(super) fn is_let_in(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return false;
    };
    match shown.as_bytes().split_at_checked(7) {
        Some((scheme, shown)) => scheme.eq_ignore_ascii_case(b"bearer ") && is_same(token.reveal().as_bytes(), shown),
        None => false,
    }
}

/// Compares in a time that says nothing about where the two differ.
fn is_same(ours: &[u8], shown: &[u8]) -> bool {
    let pairs = ours.iter().zip(shown);
    let difference = pairs.fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
    difference == 0 && ours.len() == shown.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_opens() {
        let token = Secret::new("s3cret");
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            is_let_in(Some(&token), &headers)
        };
        assert!(check(&["Bearer s3cret"]) && check(&["bearer s3cret"]));
        for wrong in ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret ", "Basic s3cret"] {
            assert!(!check(&[wrong]), "{wrong:?}");
        }
        assert!(!check(&[]) && !check(&["Bearer s3cret", "Bearer s3cret"]));
        assert!(is_let_in(None, &HeaderMap::new()));
    }
}
