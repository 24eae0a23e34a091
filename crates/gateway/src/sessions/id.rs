//! The payload of a session id, and its binding to a caller.

use std::sync::{Arc, Mutex, OnceLock, atomic::AtomicI64};

use aws_lc_rs::digest;
use bytes::Bytes;
use jiff::Timestamp;
use portolan_client::{ClientCapabilities, Conversation};
use portolan_core::{Caller, GatewayName};
use portolan_wire::era::ProtocolVersion;

use super::Session;

pub(super) const NONCE_LEN: usize = 16;
/// version ‖ nonce ‖ caller and gateway ‖ expiry, in seconds ‖ client capabilities. The client's extensions follow.
const PAYLOAD_LEN: usize = 1 + NONCE_LEN + 16 + 8 + 1;

impl Session {
    /// Creates a session without calls or subscriptions.
    pub(super) fn new(
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        nonce: [u8; NONCE_LEN],
        bound_to: [u8; 16],
        expires: i64,
        now: i64,
        extensions: Option<Bytes>,
    ) -> Self {
        let id = format!("session\n{}", name_of(&nonce));
        Self {
            version,
            capabilities,
            client: None,
            nonce,
            bound_to,
            verified: OnceLock::new(),
            expires,
            used: AtomicI64::new(now),
            checked: AtomicI64::new(now),
            // The session's identity at servers behind channels.
            conversation: Conversation::new(id, version).with_extensions(extensions),
            tasks: Arc::default(),
            calls: Mutex::default(),
            uris: Mutex::default(),
            subscriber: OnceLock::new(),
        }
    }

    /// Returns whether its protocol version has tasks.
    pub(crate) fn has_tasks(&self) -> bool {
        self.version >= ProtocolVersion::V2025_11_25
    }

    /// Returns the unique id of this session.
    pub(crate) fn nonce(&self) -> [u8; NONCE_LEN] {
        self.nonce
    }

    /// Returns the name of the session in messages between replicas.
    pub(crate) fn name(&self) -> String {
        name_of(&self.nonce)
    }

    /// Returns the store key of its state.
    pub(super) fn key(&self) -> String {
        format!("session/{}", self.name())
    }

    /// Returns whether this session belongs to `caller` on `gateway`. An authenticator returns the same value for the
    /// same caller, so that comparing pointers mostly suffices.
    pub(super) fn belongs_to(&self, gateway: &GatewayName, caller: &Arc<Caller>) -> bool {
        if let Some((bound_gateway, verified)) = self.verified.get()
            && bound_gateway == gateway
            && Arc::ptr_eq(verified, caller)
        {
            return true;
        }
        let belongs_to = self.bound_to == bind(gateway, caller);
        if belongs_to {
            self.verified.get_or_init(|| (gateway.clone(), caller.clone()));
        }
        belongs_to
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        let mut payload = vec![0; PAYLOAD_LEN];
        let version = ProtocolVersion::ALL
            .iter()
            .position(|version| *version == self.version)
            .unwrap_or_default();
        payload[0] = u8::try_from(version).unwrap_or_default();
        payload[1..17].copy_from_slice(&self.nonce);
        payload[17..33].copy_from_slice(&self.bound_to);
        payload[33..41].copy_from_slice(&self.expires.to_be_bytes());
        payload[41] = self.capabilities.bits();
        if let Some(extensions) = self.conversation.extensions() {
            payload.extend_from_slice(extensions);
        }
        payload
    }

    pub(super) fn read(payload: &[u8], now: Timestamp) -> Option<Self> {
        let (payload, extensions) = payload.split_at_checked(PAYLOAD_LEN)?;
        let extensions = (!extensions.is_empty()).then(|| Bytes::copy_from_slice(extensions));
        let version = *ProtocolVersion::ALL.get(usize::from(payload[0]))?;
        let (nonce, bound_to) = (payload[1..17].try_into().ok()?, payload[17..33].try_into().ok()?);
        let expires = i64::from_be_bytes(payload[33..41].try_into().ok()?);
        let capabilities = ClientCapabilities::from_bits(payload[41]);
        Some(Self::new(
            version,
            capabilities,
            nonce,
            bound_to,
            expires,
            now.as_second(),
            extensions,
        ))
    }
}

fn name_of(nonce: &[u8; NONCE_LEN]) -> String {
    nonce.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the binding of a session to one caller on one gateway: to any other caller it is unknown.
pub(crate) fn bind(gateway: &GatewayName, caller: &Caller) -> [u8; 16] {
    let text = format!("{gateway}\n{}", caller.subject);
    let hashed = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bound = [0; 16];
    bound.copy_from_slice(&hashed.as_ref()[..16]);
    bound
}
