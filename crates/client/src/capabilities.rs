//! The capabilities of a client that a server can use during a call.

use bytes::Bytes;
use portolan_core::ServerRequestPolicy;
use portolan_wire::{
    method::Method,
    object::{self, RawObject},
};

const FORM: u8 = 1;
const URL: u8 = 1 << 1;
const SAMPLING: u8 = 1 << 2;
const SAMPLING_TOOLS: u8 = 1 << 3;
const SAMPLING_CONTEXT: u8 = 1 << 4;
const ROOTS: u8 = 1 << 5;

/// The capabilities of a client that let a server send it requests: elicitation, sampling and roots. Both eras write them
/// in the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientCapabilities(u8);

impl ClientCapabilities {
    /// No capability.
    pub const NONE: Self = Self(0);
    /// The capabilities that most clients have which have any.
    pub const SOMEBODY: Self = Self(FORM | URL | SAMPLING | ROOTS);

    /// Reads a client's `capabilities`. An empty `elicitation` means forms only (2025-11-25, client/elicitation).
    ///
    /// ```
    /// use portolan_client::ClientCapabilities;
    ///
    /// let capabilities = ClientCapabilities::read(&r#"{"elicitation":{"url":{}}}"#.into());
    /// assert!(capabilities.has_url());
    /// ```
    pub fn read(capabilities: &Bytes) -> Self {
        if &**capabilities == b"{}" {
            return Self::NONE;
        }
        let object = |raw: Option<&Bytes>| raw.and_then(|raw| RawObject::parse_checked(raw).ok());
        let Some(all) = object(Some(capabilities)) else {
            return Self::NONE;
        };
        let mut bits = 0;
        let mut note = |holds: bool, bit: u8| bits |= if holds { bit } else { 0 };
        if let Some(elicitation) = object(all.get("elicitation")) {
            note(elicitation.contains("form") || !elicitation.contains("url"), FORM);
            note(elicitation.contains("url"), URL);
        }
        if let Some(sampling) = object(all.get("sampling")) {
            note(true, SAMPLING);
            note(sampling.contains("tools"), SAMPLING_TOOLS);
            note(sampling.contains("context"), SAMPLING_CONTEXT);
        }
        note(object(all.get("roots")).is_some(), ROOTS);
        Self(bits)
    }

    /// Returns the capabilities as bits, for [`from_bits`](Self::from_bits).
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Returns the capabilities of [`bits`](Self::bits).
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns `true` if there is no capability.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns `true` if the client can show pages to visit (URL elicitation).
    pub fn has_url(self) -> bool {
        self.0 & URL != 0
    }

    /// Returns the capabilities that a server with this policy may use.
    pub fn within(self, policy: ServerRequestPolicy) -> Self {
        let mut bits = 0;
        let mut allow = |allowed: bool, group: u8| bits |= if allowed { group } else { 0 };
        allow(policy.elicitation, FORM | URL);
        allow(policy.sampling, SAMPLING | SAMPLING_TOOLS | SAMPLING_CONTEXT);
        allow(policy.roots, ROOTS);
        Self(self.0 & bits)
    }

    /// Returns `true` if a server may send this request.
    pub fn permit(self, method: &Method, params: Option<&Bytes>) -> bool {
        let params = || params.and_then(|raw| RawObject::parse_checked(raw).ok());
        let needed = match method {
            Method::Elicit => {
                let params = params();
                let mode = params.as_ref().and_then(|params| params.get("mode"));
                match mode.and_then(object::text).as_deref() {
                    Some("url") => URL,
                    _ => FORM,
                }
            }
            Method::CreateMessage if params().is_some_and(|params| params.contains("tools")) => {
                SAMPLING | SAMPLING_TOOLS
            }
            Method::CreateMessage => SAMPLING,
            Method::RootsList => ROOTS,
            _ => return false,
        };
        self.0 & needed == needed
    }

    /// Returns the `capabilities` object, raw.
    pub fn to_json(self) -> Bytes {
        if self.is_none() {
            return Bytes::from_static(b"{}");
        }
        let mut all = RawObject::new();
        let mut put = |group: u8, name: &str, members: &[(u8, &str)]| {
            if self.0 & group != 0 {
                let mut inner = RawObject::new();
                for (_, name) in members.iter().filter(|(bit, _)| self.0 & bit != 0) {
                    inner.set(name, Bytes::from_static(b"{}"));
                }
                all.set(name, inner.to_bytes());
            }
        };
        // Forms alone are written as in 2025-06-18, which later versions read in the same way.
        let forms_alone = self.0 & URL == 0;
        let modes: &[(u8, &str)] = if forms_alone {
            &[]
        } else {
            &[(FORM, "form"), (URL, "url")]
        };
        put(FORM | URL, "elicitation", modes);
        put(
            SAMPLING,
            "sampling",
            &[(SAMPLING_TOOLS, "tools"), (SAMPLING_CONTEXT, "context")],
        );
        put(ROOTS, "roots", &[]);
        all.to_bytes()
    }
}

/// Adds extensions to a `capabilities` object.
pub(crate) fn with_extensions(capabilities: Bytes, extensions: Option<&Bytes>) -> Bytes {
    let Some(extensions) = extensions else {
        return capabilities;
    };
    match RawObject::parse_checked(&capabilities) {
        Ok(mut all) => {
            all.set("extensions", extensions.clone());
            all.to_bytes()
        }
        Err(_) => capabilities,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> ClientCapabilities {
        ClientCapabilities::read(&Bytes::from_static(text.as_bytes()))
    }

    fn asks(elicitation: bool, sampling: bool, roots: bool) -> ServerRequestPolicy {
        let mut asks = ServerRequestPolicy::default();
        (asks.elicitation, asks.sampling, asks.roots) = (elicitation, sampling, roots);
        asks
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for bits in 0..64 {
            let capabilities = ClientCapabilities(bits);
            // The members of sampling mean nothing without it.
            if bits & SAMPLING == 0 && bits & (SAMPLING_TOOLS | SAMPLING_CONTEXT) != 0 {
                continue;
            }
            assert_eq!(
                ClientCapabilities::read(&capabilities.to_json()),
                capabilities,
                "{bits}"
            );
        }
    }

    #[test]
    fn an_empty_elicitation_means_forms() {
        assert_eq!(read(r#"{"elicitation":{}}"#), ClientCapabilities(FORM));
        assert_eq!(read(r#"{"elicitation":{"url":{}}}"#), ClientCapabilities(URL));
        assert_eq!(read(r#"{"elicitation":null,"roots":3}"#), ClientCapabilities::NONE);
        assert_eq!(read("{}"), ClientCapabilities::NONE);
    }

    #[test]
    fn a_server_gets_what_it_may_ask() {
        let all = read(r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{"listChanged":true}}"#);
        assert_eq!(all.within(asks(true, false, false)), ClientCapabilities(FORM | URL));
        assert_eq!(
            all.within(asks(false, true, true)),
            ClientCapabilities(SAMPLING | SAMPLING_TOOLS | ROOTS)
        );
    }

    #[test]
    fn a_question_needs_its_ability() {
        let url = Bytes::from_static(br#"{"mode":"url","url":"https://x"}"#);
        let tools = Bytes::from_static(br#"{"tools":[]}"#);
        assert!(ClientCapabilities(FORM).permit(&Method::Elicit, None));
        assert!(!ClientCapabilities(FORM).permit(&Method::Elicit, Some(&url)));
        assert!(ClientCapabilities(URL).permit(&Method::Elicit, Some(&url)));
        assert!(!ClientCapabilities(SAMPLING).permit(&Method::CreateMessage, Some(&tools)));
        assert!(ClientCapabilities(SAMPLING).permit(&Method::CreateMessage, None));
        assert!(!ClientCapabilities(u8::MAX).permit(&Method::ToolsCall, None));
    }
}
