//! What binds a page to a browser: a random cookie, and tokens against forged forms that are made of it.

use aws_lc_rs::{constant_time, hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use portolan_core::{Error, Result};

/// The length of a random value in characters: 256 bits.
const LENGTH: usize = 43;

/// Returns 256 random bits as text.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Error::unavailable("the random number generator", "it gives no numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The cookie of the connect pages. It is bound to the host and the path `/` by its prefix, wherever there is TLS.
#[derive(Debug)]
pub(super) struct BrowserCookie {
    pub(super) secure: bool,
}

impl BrowserCookie {
    fn name(&self) -> &'static str {
        if self.secure {
            "__Host-portolan-connect"
        } else {
            "portolan-connect"
        }
    }

    /// Returns the value that the browser has sent, if it has the form of one that was set here.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<String> {
        let lines = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut pairs = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let fits = |value: &&str| {
            value.len() == LENGTH
                && value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        pairs
            .find(|(name, _)| *name == self.name())
            .map(|(_, value)| value)
            .filter(fits)
            .map(str::to_owned)
    }

    /// Returns the header that sets the cookie for the browser's session. A provider's redirect is a navigation from
    /// another site, which `Lax` lets through.
    pub(super) fn set(&self, value: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name())
    }
}

/// Returns the token of a form: only who knows the cookie can make it, for one user and one form.
pub(super) fn form_token(cookie: &str, user: &str, form: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, format!("{}:{user}{form}", user.len()).as_bytes()))
}

/// Compares in constant time.
pub(super) fn same(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}
