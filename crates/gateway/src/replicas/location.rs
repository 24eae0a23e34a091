//! Locations of entries that exist in one replica only.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::codec::{Reader, Writer};

/// The key of an entry in one replica.
pub(crate) type Handle = [u8; 16];

/// The location of an entry: its replica and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaLocation {
    /// The random id of the replica.
    pub(crate) replica: [u8; 8],
    /// The URL at which other replicas reach it, if configured.
    pub(crate) url: Option<Box<str>>,
    /// The key of the entry.
    pub(crate) handle: Handle,
}

impl ReplicaLocation {
    pub(crate) fn write(&self, writer: Writer) -> Writer {
        let writer = writer.fixed(&self.replica).fixed(&self.handle);
        writer.bytes(self.url.as_deref().unwrap_or_default().as_bytes())
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (replica, handle) = (reader.fixed()?, reader.fixed()?);
        let url = reader.text()?;
        Some(Self {
            replica,
            url: (!url.is_empty()).then(|| url.into()),
            handle,
        })
    }
}

/// Returns an unguessable handle.
pub(crate) fn random_handle() -> Handle {
    let mut handle = [0; 16];
    let _ = SystemRandom::new().fill(&mut handle);
    handle
}
