//! Static tokens: what is kept of them, which is never the token.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Caller, Error, GatewayName, Result, Subject, TeamId};

/// The SHA-256 of a token, as 64 lowercase hexadecimal digits.
///
/// Tokens are 256 random bits, so a fast hash without salt is enough: there is nothing to guess.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// A digest of these bytes.
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Reads 64 hexadecimal digits.
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

    /// The 32 bytes.
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

/// What a static token opens, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenGrant {
    /// Which token: its digest.
    pub digest: TokenDigest,
    /// Who calls with it.
    pub subject: Subject,
    /// The teams of a user.
    #[serde(default)]
    pub teams: Vec<TeamId>,
    /// The gateways that it opens; `None` opens all.
    #[serde(default)]
    pub gateways: Option<Vec<GatewayName>>,
    /// What people call it.
    #[serde(default)]
    pub label: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends to open anything.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

impl TokenGrant {
    /// A grant for `subject` on every gateway, without an end.
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

    /// Whether it still opens anything at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Who calls with this token.
    pub fn caller(&self) -> Caller {
        let mut caller = Caller::new(self.subject.clone(), "token");
        caller.teams.clone_from(&self.teams);
        caller.gateways.clone_from(&self.gateways);
        caller
    }
}
