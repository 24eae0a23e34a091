//! What a session id says, and whose it is.

use std::sync::{Arc, Mutex, OnceLock, atomic::AtomicI64};

use aws_lc_rs::digest;
use jiff::Timestamp;
use portolan_client::{ClientCapabilities, Conversation};
use portolan_core::{Caller, GatewayName};
use portolan_wire::era::ProtocolVersion;

use super::Session;

pub(super) const NONCE_LEN: usize = 16;
/// version ‖ nonce ‖ caller and gateway ‖ end, in seconds ‖ what the client can be asked.
const PAYLOAD_LEN: usize = 1 + NONCE_LEN + 16 + 8 + 1;

impl Session {
    /// A session that nothing has happened in yet.
    pub(super) fn new(
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        nonce: [u8; NONCE_LEN],
        bound_to: [u8; 16],
        ends: i64,
        now: i64,
    ) -> Self {
        Self {
            version,
            capabilities,
            client: None,
            nonce,
            bound_to,
            found: OnceLock::new(),
            ends,
            used: AtomicI64::new(now),
            checked: AtomicI64::new(now),
            // Servers behind channels know the session by this.
            conversation: Conversation::new(format!("session\n{}", name_of(&nonce)), version),
            tasks: Arc::default(),
            calls: Mutex::default(),
            uris: Mutex::default(),
            subscriber: OnceLock::new(),
        }
    }

    /// Whether its version has tasks.
    pub(crate) fn has_tasks(&self) -> bool {
        self.version >= ProtocolVersion::V2025_11_25
    }

    /// What tells this session from every other.
    pub(crate) fn nonce(&self) -> [u8; NONCE_LEN] {
        self.nonce
    }

    /// What replicas call it among themselves.
    pub(crate) fn name(&self) -> String {
        name_of(&self.nonce)
    }

    /// Where its state and its end are kept.
    pub(super) fn key(&self) -> String {
        format!("session/{}", self.name())
    }

    /// Whether this session is `caller`'s, on `gateway`. An authenticator gives out one value for one caller, so that
    /// mostly to look at which one it is is enough.
    pub(super) fn is_of(&self, gateway: &GatewayName, caller: &Arc<Caller>) -> bool {
        if let Some((known, found)) = self.found.get()
            && known == gateway
            && Arc::ptr_eq(found, caller)
        {
            return true;
        }
        let is_of = self.bound_to == bind(gateway, caller);
        if is_of {
            self.found.get_or_init(|| (gateway.clone(), caller.clone()));
        }
        is_of
    }

    pub(super) fn payload(&self) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        let version = ProtocolVersion::ALL
            .iter()
            .position(|version| *version == self.version)
            .unwrap_or_default();
        payload[0] = u8::try_from(version).unwrap_or_default();
        payload[1..17].copy_from_slice(&self.nonce);
        payload[17..33].copy_from_slice(&self.bound_to);
        payload[33..41].copy_from_slice(&self.ends.to_be_bytes());
        payload[41] = self.capabilities.bits();
        payload
    }

    pub(super) fn read(payload: &[u8], now: Timestamp) -> Option<Self> {
        let payload: &[u8; PAYLOAD_LEN] = payload.try_into().ok()?;
        let version = *ProtocolVersion::ALL.get(usize::from(payload[0]))?;
        let (nonce, bound_to) = (payload[1..17].try_into().ok()?, payload[17..33].try_into().ok()?);
        let ends = i64::from_be_bytes(payload[33..41].try_into().ok()?);
        let capabilities = ClientCapabilities::from_bits(payload[41]);
        Some(Self::new(version, capabilities, nonce, bound_to, ends, now.as_second()))
    }
}

fn name_of(nonce: &[u8; NONCE_LEN]) -> String {
    nonce.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A session belongs to one caller on one gateway; presented by another, it is unknown.
pub(crate) fn bind(gateway: &GatewayName, caller: &Caller) -> [u8; 16] {
    let text = format!("{gateway}\n{}", caller.subject);
    let hashed = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bound = [0; 16];
    bound.copy_from_slice(&hashed.as_ref()[..16]);
    bound
}
