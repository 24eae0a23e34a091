//! A stream of sealed chunks: what a backup file is made of.
//!
//! A file is 16 bytes of magic with the format, 32 of salt, then chunks: 4 bytes of length, whose highest bit marks the last
//! chunk, and so many bytes of AES-256-GCM. The nonce is the number of the chunk; the head of the file and the length are
//! associated data. So a chunk that is changed, moved, left out or cut off does not open. This is the STREAM construction
//! (Hoang, Reyhanitabar, Rogaway, Vizár, 2015). The text is a sequence of entries: 4 bytes of length and so many bytes, for
//! stored JSON may have line breaks.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{BackupKey, error::BackupError};
use crate::seal::fill_random;

const MAGIC: [u8; 16] = *b"portolan-backup\x01";
const SALT_LEN: usize = 32;
const HEAD_LEN: usize = MAGIC.len() + SALT_LEN;
/// The most bytes of text in a chunk.
const CHUNK: usize = 64 << 10;
const LAST: u32 = 1 << 31;
/// The most bytes of an entry: a record, a list of tools, or a secret, as JSON.
const MAX_ENTRY: usize = 64 << 20;

type Result<T> = std::result::Result<T, BackupError>;

/// Seals entries into a writer.
pub(super) struct SealedWriter<W> {
    to: W,
    chunks: Chunks,
    text: Zeroizing<Vec<u8>>,
}

/// Opens entries from a reader.
pub(super) struct SealedReader<R> {
    from: R,
    chunks: Chunks,
    text: Zeroizing<Vec<u8>>,
    read: usize,
    ended: bool,
}

/// Seals and opens the chunks of one file in their order.
struct Chunks {
    key: LessSafeKey,
    head: [u8; HEAD_LEN],
    number: u64,
}

impl<W: AsyncWrite + Unpin> SealedWriter<W> {
    /// Writes the head of the file.
    pub(super) async fn begin(mut to: W, key: &BackupKey) -> Result<Self> {
        let mut head = [0; HEAD_LEN];
        head[..MAGIC.len()].copy_from_slice(&MAGIC);
        fill_random(&mut head[MAGIC.len()..]).map_err(BackupError::Store)?;
        let chunks = Chunks::new(key, head)?;
        to.write_all(&head).await.map_err(BackupError::Write)?;
        let text = Zeroizing::new(Vec::with_capacity(CHUNK));
        Ok(Self { to, chunks, text })
    }

    /// Appends an entry.
    pub(super) async fn entry(&mut self, entry: &[u8]) -> Result<()> {
        let too_long = || BackupError::Content(format!("an entry has more than {MAX_ENTRY} bytes"));
        let length = u32::try_from(entry.len()).map_err(|_| too_long())?;
        if entry.len() > MAX_ENTRY {
            return Err(too_long());
        }
        for part in [&length.to_be_bytes(), entry] {
            let mut rest = part;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(CHUNK - self.text.len()));
                self.text.extend_from_slice(now);
                rest = later;
                if self.text.len() == CHUNK {
                    self.chunk(0).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is left and the mark of the end. A file without it is not complete.
    pub(super) async fn finish(mut self) -> Result<W> {
        self.chunk(LAST).await?;
        self.to.flush().await.map_err(BackupError::Write)?;
        Ok(self.to)
    }

    async fn chunk(&mut self, flag: u32) -> Result<()> {
        let (length, sealed) = self.chunks.seal(&self.text, flag)?;
        self.to.write_all(&length).await.map_err(BackupError::Write)?;
        self.to.write_all(&sealed).await.map_err(BackupError::Write)?;
        self.text.clear();
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> SealedReader<R> {
    /// Reads the head of the file.
    pub(super) async fn begin(mut from: R, key: &BackupKey) -> Result<Self> {
        let mut head = [0; HEAD_LEN];
        let magic = MAGIC.len();
        read(&mut from, &mut head[..magic]).await?;
        if head[..magic - 1] != MAGIC[..magic - 1] {
            return Err(BackupError::Foreign);
        }
        if head[magic - 1] != MAGIC[magic - 1] {
            return Err(BackupError::Newer);
        }
        read(&mut from, &mut head[magic..]).await?;
        Ok(Self {
            from,
            chunks: Chunks::new(key, head)?,
            text: Zeroizing::default(),
            read: 0,
            ended: false,
        })
    }

    /// Returns the next entry, or `None` after the last one, when the file has proved to be complete.
    pub(super) async fn entry(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let mut length = [0; 4];
        let begun = self.fill(&mut length).await?;
        if begun == 0 {
            return Ok(None);
        }
        let size = u32::from_be_bytes(length) as usize;
        if begun < length.len() || size > MAX_ENTRY {
            return Err(BackupError::Content("it has an entry that is none".into()));
        }
        let mut entry = Zeroizing::new(vec![0; size]);
        if self.fill(&mut entry).await? < size {
            return Err(BackupError::Content("its last entry has no end".into()));
        }
        Ok(Some(entry))
    }

    /// Fills `into` from the chunks, and returns how many bytes there were before the end.
    async fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            let rest = &self.text[self.read..];
            if rest.is_empty() {
                if self.ended {
                    break;
                }
                self.chunk().await?;
                continue;
            }
            let size = rest.len().min(into.len() - filled);
            into[filled..filled + size].copy_from_slice(&rest[..size]);
            self.read += size;
            filled += size;
        }
        Ok(filled)
    }

    async fn chunk(&mut self) -> Result<()> {
        let mut length = [0; 4];
        read(&mut self.from, &mut length).await?;
        let size = (u32::from_be_bytes(length) & !LAST) as usize;
        if size > CHUNK + AES_256_GCM.tag_len() {
            return Err(BackupError::Changed);
        }
        let mut sealed = vec![0; size];
        read(&mut self.from, &mut sealed).await?;
        self.text = self.chunks.open(length, sealed)?;
        self.read = 0;
        self.ended = u32::from_be_bytes(length) & LAST != 0;
        if self.ended && self.from.read(&mut [0]).await.map_err(BackupError::Read)? != 0 {
            return Err(BackupError::Changed);
        }
        Ok(())
    }
}

impl Chunks {
    fn new(key: &BackupKey, head: [u8; HEAD_LEN]) -> Result<Self> {
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(&head[MAGIC.len()..]);
        let key = key.of_file(&salt).ok_or(BackupError::Changed)?;
        Ok(Self { key, head, number: 0 })
    }

    fn seal(&mut self, text: &[u8], flag: u32) -> Result<([u8; 4], Vec<u8>)> {
        let size = text.len() + AES_256_GCM.tag_len();
        let length = (u32::try_from(size).map_err(|_| BackupError::Changed)? | flag).to_be_bytes();
        let mut sealed = Vec::with_capacity(size);
        sealed.extend_from_slice(text);
        let (nonce, bound) = self.next(length);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(bound), &mut sealed)
            .map_err(|_| BackupError::Changed)?;
        Ok((length, sealed))
    }

    fn open(&mut self, length: [u8; 4], sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>> {
        let first = self.number == 0;
        let (nonce, bound) = self.next(length);
        let mut text = Zeroizing::new(sealed);
        let size = match self.key.open_in_place(nonce, Aad::from(bound), &mut text) {
            Ok(opened) => opened.len(),
            Err(_) if first => return Err(BackupError::Key),
            Err(_) => return Err(BackupError::Changed),
        };
        text.truncate(size);
        Ok(text)
    }

    /// Returns the nonce of the next chunk, and what it is bound to.
    fn next(&mut self, length: [u8; 4]) -> (Nonce, [u8; HEAD_LEN + 4]) {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        let mut bound = [0; HEAD_LEN + 4];
        bound[..HEAD_LEN].copy_from_slice(&self.head);
        bound[HEAD_LEN..].copy_from_slice(&length);
        (Nonce::assume_unique_for_key(nonce), bound)
    }
}

async fn read<R: AsyncRead + Unpin>(from: &mut R, into: &mut [u8]) -> Result<()> {
    match from.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(BackupError::Incomplete),
        Err(error) => Err(BackupError::Read(error)),
    }
}

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;
