//! Backups: the sealed stream, and what is in it.

use std::io::Read as _;
use std::path::Path;

use sealgate_gateway::backup::{Kind, restore_content};
use sealgate_ods::KeyCommitment;
use sealgate_ods::sealed_stream::StreamReader;

use super::folder;

const PASSPHRASE: &str = "a passphrase for tests";
/// Argon2id with 8 KiB, one pass, one lane, and a salt of zeros: its key is derived in no time.
const CHEAP: [u32; 3] = [8, 1, 1];
/// Longest that deriving a key may take here, in KiB times passes; the product pays more.
const COST_MAX: u64 = 1 << 12;

/// The beginning of a stream under [`PASSPHRASE`].
fn header() -> Vec<u8> {
    let commitment: KeyCommitment = "1e2adf22be5d7b3b62d9d0a6a06a1cb6eb2df8785953b6f4dd05d2cf11d8a07e".parse().unwrap();
    [b"SGSTREM1", CHEAP.map(u32::to_le_bytes).as_flattened(), &[0; 16], commitment.as_bytes()].concat()
}

/// A whole stream of the text `content`, made from docs/spec/backup.md by another program.
pub fn sealed_content() -> Vec<u8> {
    let chunk = [
        0x92, 0xad, 0xc3, 0x31, 0xde, 0x74, 0xb9, 0x17, 0xa4, 0x67, 0x22, 0x0f, 0xac, 0xef, 0xbf, 0x73, 0x11, 0x49,
        0xb6, 0x95, 0xab, 0x13, 0x1a,
    ];
    [header().as_slice(), &chunk].concat()
}

/// What a stream holds, if it opens.
pub fn opened(stream: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    StreamReader::new(stream, PASSPHRASE).ok()?.read_to_end(&mut content).ok()?;
    Some(content)
}

/// A sealed stream: as it is, and behind a beginning that is right. None but the one that was sealed opens.
pub fn stream(bytes: &[u8]) {
    for stream in [bytes.to_vec(), [header().as_slice(), bytes].concat()] {
        let number = |at: usize| Some(u64::from(u32::from_le_bytes(*stream.get(at..)?.first_chunk()?)));
        let cost = number(8).zip(number(12)).map_or(0, |(memory, passes)| memory.saturating_mul(passes));
        if cost > COST_MAX {
            continue;
        }
        assert!(opened(&stream).is_none() || stream == sealed_content());
    }
}

/// The content of a backup: it is restored whole, or nothing of it is left.
pub fn backup(bytes: &[u8]) {
    let place = folder().join("restored");
    for kind in [Kind::Home, Kind::Data] {
        std::fs::create_dir_all(&place).unwrap();
        let from = (Path::new("backup"), bytes.len() as u64);
        let restored = restore_content(kind, from, bytes, &place.join("folder"), &|_, _| {});
        let left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let expected: &[&str] = if restored.is_ok() { &["folder"] } else { &[] };
        assert_eq!(left, expected, "{restored:?}");
        std::fs::remove_dir_all(&place).unwrap();
    }
}
