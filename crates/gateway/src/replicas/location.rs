//! Locations: which replica something waits in.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::codec::{Reader, Writer};

/// The key of something that waits in one replica.
pub(crate) type Handle = [u8; 16];

/// The location of something that waits in one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaLocation {
    /// The replica, as it named itself when it started.
    pub(crate) replica: [u8; 8],
    /// Where other replicas reach it, if they can.
    pub(crate) url: Option<Box<str>>,
    /// What waits.
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

/// A handle that nobody can guess.
pub(crate) fn random_handle() -> Handle {
    let mut handle = [0; 16];
    let _ = SystemRandom::new().fill(&mut handle);
    handle
}
