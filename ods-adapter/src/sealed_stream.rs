//! A stream of any length sealed under a passphrase, for backups (docs/spec/backup.md): chunks of
//! AES-256-GCM as in STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015), so that a stream that was
//! cut, reordered or changed is noticed where it happens, and nothing is given out unauthenticated.

use std::io::{self, Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::tagged_hash;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::{Argon2Parameters, KeyError, RootKey};
use crate::secret::{Cipher, NONCE_BYTES, TAG_BYTES};
use crate::suite::CipherSuite;

/// First bytes of a sealed stream.
const MAGIC: [u8; 8] = *b"SGSTREM1";
/// Bytes of a chunk's plaintext; only the last may have fewer.
const CHUNK_BYTES: usize = 1 << 16;
/// Bytes before the first chunk: magic, parameters, key commitment.
const HEADER_BYTES: usize = 8 + 28 + 32;

/// Why a sealed stream cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The key cannot be derived.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is something else.
    #[error("it is no sealed stream of Sealgate's, or its beginning was changed")]
    NotAStream,
    /// Another passphrase.
    #[error("the passphrase is not the one it was sealed with, or its beginning was changed")]
    WrongPassphrase,
}

fn cipher(key: &RootKey) -> Cipher {
    key.secret().derive("sealgate/ods/stream-key/1", &[]).cipher(CipherSuite::Aes256Gcm)
}

fn commitment(key: &RootKey) -> [u8; 32] {
    *key.secret().derive("sealgate/ods/stream-commitment/1", &[]).expose()
}

/// Three zeros, the chunk's number (8 bytes, big-endian), whether it is the last.
fn nonce(chunk: u64, last: bool) -> [u8; NONCE_BYTES] {
    let mut nonce = [0u8; NONCE_BYTES];
    let content = [0; 3].into_iter().chain(chunk.to_be_bytes()).chain([u8::from(last)]);
    nonce.iter_mut().zip(content).for_each(|(to, from)| *to = from);
    nonce
}

/// Seals what is written to it. Without [`StreamWriter::finish`] the stream is cut, and shows it.
pub struct StreamWriter<W: Write> {
    inner: W,
    cipher: Cipher,
    aad: [u8; 32],
    buffer: Zeroizing<Vec<u8>>,
    chunk: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream under a passphrase that is chosen now.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn new(mut inner: W, passphrase: &str) -> Result<Self, StreamError> {
        let argon2 = Argon2Parameters::generate()?;
        let key = argon2.derive_new(passphrase)?;
        let mut header = MAGIC.to_vec();
        argon2.serialize(&mut header)?;
        header.extend(commitment(&key));
        inner.write_all(&header)?;
        let buffer = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
        Ok(Self {
            inner,
            cipher: cipher(&key),
            aad: tagged_hash("sealgate/ods/stream/1", &[&header]),
            buffer,
            chunk: 0,
        })
    }

    /// Seals the last chunk and gives back what is beneath, which the caller flushes.
    ///
    /// # Errors
    /// As writing.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.inner)
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let sealed = self.cipher.seal(nonce(self.chunk, last), &self.aad, &mut self.buffer);
        sealed.map_err(|_| io::Error::other("a chunk cannot be sealed"))?;
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        self.chunk += 1;
        Ok(())
    }
}

impl<W: Write> Write for StreamWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until more comes: it may be the last.
        if self.buffer.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend(bytes.iter().take(taken));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Gives out what was sealed, chunk by chunk as each is authenticated. Its end is reached only
/// where the sealer's was; anything else is an error of kind `InvalidData`.
pub struct StreamReader<R: Read> {
    inner: R,
    cipher: Cipher,
    aad: [u8; 32],
    /// The next chunk as it stands, read before it is known whether it is the last.
    ahead: Vec<u8>,
    open: Zeroizing<Vec<u8>>,
    taken: usize,
    chunk: u64,
    ended: bool,
}

impl<R: Read> StreamReader<R> {
    /// Begins to read a stream.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn new(mut inner: R, passphrase: &str) -> Result<Self, StreamError> {
        let mut header = [0u8; HEADER_BYTES];
        inner.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StreamError::NotAStream,
            _ => error.into(),
        })?;
        let mut rest = header.strip_prefix(&MAGIC).ok_or(StreamError::NotAStream)?;
        let argon2 = Argon2Parameters::deserialize(&mut rest).map_err(|_| StreamError::NotAStream)?;
        let key = argon2.derive(passphrase)?;
        if !bool::from(commitment(&key).ct_eq(rest)) {
            return Err(StreamError::WrongPassphrase);
        }
        let mut reader = Self {
            inner,
            cipher: cipher(&key),
            aad: tagged_hash("sealgate/ods/stream/1", &[&header]),
            ahead: Vec::new(),
            open: Zeroizing::new(Vec::new()),
            taken: 0,
            chunk: 0,
            ended: false,
        };
        reader.ahead = reader.read_chunk()?;
        Ok(reader)
    }

    fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        (&mut self.inner).take((CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut chunk)?;
        Ok(chunk)
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let next = self.read_chunk()?;
        let last = next.is_empty();
        self.open.zeroize();
        *self.open = std::mem::replace(&mut self.ahead, next);
        if self.cipher.open(nonce(self.chunk, last), &self.aad, &mut self.open).is_err() {
            self.open.clear();
            let what = if last { "it is cut short or changed" } else { "it was changed" };
            let at = HEADER_BYTES as u64 + self.chunk * (CHUNK_BYTES + TAG_BYTES) as u64;
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what} behind byte {at}")));
        }
        (self.taken, self.ended, self.chunk) = (0, last, self.chunk + 1);
        Ok(())
    }
}

impl<R: Read> Read for StreamReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.open.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let mut rest = self.open.get(self.taken..).unwrap_or_default();
        let count = rest.read(out)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "a passphrase for tests";

    fn seal(content: &[u8]) -> Vec<u8> {
        let mut writer = StreamWriter::new(Vec::new(), PASSPHRASE).unwrap();
        // In pieces that do not fit the chunks.
        content.chunks(10_007).for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap()
    }

    fn open(sealed: &[u8]) -> Result<Vec<u8>, StreamError> {
        let mut content = Vec::new();
        StreamReader::new(sealed, PASSPHRASE)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn streams_come_back_at_every_length() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 200_000] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = seal(&content);
            let chunks = length.div_ceil(CHUNK_BYTES).max(1);
            assert_eq!(sealed.len(), HEADER_BYTES + length + chunks * TAG_BYTES);
            assert_eq!(open(&sealed).unwrap(), content);
        }
    }

    #[test]
    fn changes_cuts_and_other_passphrases_are_noticed() {
        let sealed = seal(&vec![7; 2 * CHUNK_BYTES + 5]);
        let chunk = CHUNK_BYTES + TAG_BYTES;
        let kind = |bytes: &[u8]| match open(bytes) {
            Err(StreamError::Io(error)) => error.kind() == io::ErrorKind::InvalidData,
            other => panic!("{other:?}"),
        };
        for cut in [HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + chunk, HEADER_BYTES + 2 * chunk, sealed.len() - 1] {
            assert!(kind(&sealed[..cut]), "cut at {cut}");
        }
        for at in [HEADER_BYTES, HEADER_BYTES + chunk - 1, HEADER_BYTES + chunk, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(kind(&changed), "changed at {at}");
        }
        let (first, rest) = sealed[HEADER_BYTES..].split_at(chunk);
        let swapped = [&sealed[..HEADER_BYTES], &rest[..chunk], first, &rest[chunk..]].concat();
        assert!(kind(&swapped));
        assert!(kind(&[&sealed[..], &[0]].concat()));
        assert!(matches!(open(&sealed[..HEADER_BYTES - 1]), Err(StreamError::NotAStream)));
        // Salt and commitment: no change of them goes unnoticed, nor do absurd costs run.
        for at in [0, 8, 15, 19, 25, 40, HEADER_BYTES - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 0x80;
            assert!(open(&changed).is_err(), "byte {at}");
        }
        assert!(matches!(StreamReader::new(&sealed[..], "another passphrase"), Err(StreamError::WrongPassphrase)));
        assert!(matches!(StreamWriter::new(Vec::new(), "short"), Err(StreamError::Key(KeyError::ShortPassphrase))));
    }
}
