//! Static tokens: digests and grants.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Caller, Error, GatewayName, Result, Subject, TeamId};

/// The SHA-256 of a token, as 64 lowercase hexadecimal digits.
///
/// Tokens have 256 random bits, so a fast hash without salt is enough.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Wraps the 32 bytes of a digest.
    ///
    /// ```
    /// let digest = portolan_core::TokenDigest::new([0xab; 32]);
    /// assert_eq!(digest.to_string(), "ab".repeat(32));
    /// ```
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Parses 64 hexadecimal digits of either case.
    ///
    /// ```
    /// use portolan_core::TokenDigest;
    ///
    /// assert_eq!(TokenDigest::parse(&"AB".repeat(32))?, TokenDigest::new([0xab; 32]));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = || Error::invalid("token digest", "needs 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| refuse())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        digest.to_string()
    }
}

/// The grant of a static token: its subject, and the gateways that it admits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenGrant {
    /// The digest of the token.
    pub digest: TokenDigest,
    /// The subject of callers with this token.
    pub subject: Subject,
    /// The teams of a user.
    #[serde(default)]
    pub teams: Vec<TeamId>,
    /// The gateways that the token admits to; `None` for all.
    #[serde(default)]
    pub gateways: Option<Vec<GatewayName>>,
    /// The label for people.
    #[serde(default)]
    pub label: Option<String>,
    /// The time of its creation.
    pub created: Timestamp,
    /// The time at which it expires; `None` for never.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

impl TokenGrant {
    /// Creates a grant for `subject` at every gateway that does not expire.
    ///
    /// ```
    /// use portolan_core::{Clock, Subject, SystemClock, TokenDigest, TokenGrant};
    ///
    /// let grant = TokenGrant::new(TokenDigest::new([0; 32]), Subject::Org, SystemClock.now());
    /// assert!(grant.is_valid_at(SystemClock.now()));
    /// ```
    pub fn new(digest: TokenDigest, subject: Subject, created: Timestamp) -> Self {
        Self {
            digest,
            subject,
            teams: Vec::new(),
            gateways: None,
            label: None,
            created,
            expires: None,
        }
    }

    /// Returns `true` if the token has not expired at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Returns the caller of a request with this token.
    pub fn caller(&self) -> Caller {
        let mut caller = Caller::new(self.subject.clone(), "token").with_token_id(self.digest.to_string());
        caller.teams.clone_from(&self.teams);
        caller.gateways.clone_from(&self.gateways);
        caller.expires = self.expires;
        caller
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_survives_text() {
        let bytes: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 8).expect("a byte"));
        let digest = TokenDigest::new(bytes);
        let text = digest.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(TokenDigest::parse(&text).expect("hex"), digest);
        assert_eq!(TokenDigest::parse(&text.to_uppercase()).expect("upper case"), digest);
        assert_eq!(digest.as_bytes(), &bytes);
    }

    #[test]
    fn other_text_is_refused() {
        let (digits, multibyte) = ("0".repeat(64), "é".repeat(32));
        for bad in [
            "",
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace('0', "g"),
            &multibyte,
            &format!("+{}", &digits[1..]),
        ] {
            assert!(TokenDigest::parse(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<TokenDigest>("\"0\"").is_err());
    }

    #[test]
    fn digests_sort_like_text() {
        let (low, high) = (TokenDigest::new([0x09; 32]), TokenDigest::new([0xa0; 32]));
        assert!(low < high && low.to_string() < high.to_string());
    }

    #[test]
    fn grant_expires_at_its_end() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut grant = TokenGrant::new(TokenDigest::new([0; 32]), Subject::Org, at(0));
        assert!(grant.is_valid_at(at(1_000_000)));
        grant.expires = Some(at(10));
        assert!(grant.is_valid_at(at(9)) && !grant.is_valid_at(at(10)));
    }
}
