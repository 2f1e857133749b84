use super::*;
use crate::secret::Cipher;
use crate::testing::vectors;

fn cipher(key: &[u8]) -> Cipher {
    Secret::from_bytes(key.try_into().unwrap()).cipher(CipherSuite::Aes256Gcm)
}

fn sm4_gcm(key: &[u8]) -> Cipher {
    // What stands behind the sixteen bytes of the key must not matter.
    Secret::from_bytes([key, &[0x55; 16]].concat().try_into().unwrap()).cipher(CipherSuite::Sm4Gcm)
}

fn place() -> SegmentPlace {
    let label = AssetLabel::new("a").unwrap();
    SegmentPlace { label, attempt: AttemptId([1; 16]), stream: Stream::Column(3), segment: 2 }
}

fn sealer_at(place: SegmentPlace) -> Sealer {
    let key = DataKey::from_bytes([7; 32]).segment_key(2);
    Sealer::new(place, CipherSuite::Aes256Gcm, key)
}

fn sealer() -> Sealer {
    sealer_at(place())
}

fn sealed(at: ChunkPlace, content: &[u8]) -> Vec<u8> {
    // What lay in the frame before must not matter.
    let mut frame = vec![0xaa; sealed_bytes(content.len())];
    frame[CONTENT_AT..][..content.len()].copy_from_slice(content);
    sealer().seal(at, &mut frame, content.len()).unwrap();
    frame
}

fn opens(sealer: &Sealer, at: ChunkPlace, sealed: &[u8]) -> Option<Vec<u8>> {
    sealer.open(at, sealed, &mut Scratch::default()).ok().map(<[u8]>::to_vec)
}

const HERE: ChunkPlace = ChunkPlace { chunk: 5, last: false };

fn wycheproof(file: &str, key_bits: u64, cipher: fn(&[u8]) -> Cipher) {
    let Some(text) = vectors(file) else { return };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in json["testGroups"].as_array().unwrap() {
        if (group["keySize"].as_u64(), group["ivSize"].as_u64(), group["tagSize"].as_u64())
            != (Some(key_bits), Some(96), Some(128))
        {
            continue;
        }
        for test in group["tests"].as_array().unwrap() {
            let bytes = |name: &str| hex::decode(test[name].as_str().unwrap()).unwrap();
            let nonce: [u8; 12] = bytes("iv").try_into().unwrap();
            let mut sealed = [bytes("ct"), bytes("tag")].concat();
            let opened = cipher(&bytes("key")).open(nonce, &bytes("aad"), &mut sealed);
            if test["result"] == "valid" {
                opened.unwrap();
                assert_eq!(sealed, bytes("msg"));
                cipher(&bytes("key")).seal(nonce, &bytes("aad"), &mut sealed).unwrap();
                assert_eq!(sealed, [bytes("ct"), bytes("tag")].concat());
                valid += 1;
            } else {
                assert!(opened.is_err(), "test {}", test["tcId"]);
                invalid += 1;
            }
        }
    }
    assert!(valid > 20 && invalid > 20, "{valid} {invalid}");
}

#[test]
fn wycheproof_aes_gcm() {
    wycheproof("wycheproof/aes_gcm_test.json", 256, cipher);
}

#[test]
fn wycheproof_sm4_gcm() {
    wycheproof("wycheproof/sm4_gcm_test.json", 128, sm4_gcm);
}

#[test]
fn sm4_gcm_of_rfc_8998() {
    let Some(text) = vectors("sm4/rfc8998.txt") else { return };
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ="))).unwrap();
        hex::decode(line.split_once('=').unwrap().1.trim()).unwrap()
    };
    let nonce: [u8; 12] = field("IV").try_into().unwrap();
    let mut buffer = field("PLAINTEXT");
    sm4_gcm(&field("KEY")).seal(nonce, &field("AAD"), &mut buffer).unwrap();
    assert_eq!(buffer, [field("CIPHERTEXT"), field("TAG")].concat());
    sm4_gcm(&field("KEY")).open(nonce, &field("AAD"), &mut buffer).unwrap();
    assert_eq!(buffer, field("PLAINTEXT"));
}

#[test]
fn nist_aes_gcm() {
    for name in ["nist-aes-gcm/gcmEncryptExtIV256.rsp", "nist-aes-gcm/gcmDecrypt256.rsp"] {
        let Some(text) = vectors(name) else { return };
        let (mut seen, mut refused) = (0, 0);
        for case in text.replace('\r', "").split("Count = ").skip(1) {
            let field = |name: &str| {
                let line = case.lines().find(|line| line.starts_with(&format!("{name} =")))?;
                Some(hex::decode(line.split_once('=')?.1.trim()).unwrap())
            };
            let (Ok(nonce), tag) = (<[u8; 12]>::try_from(field("IV").unwrap()), field("Tag").unwrap()) else {
                continue;
            };
            if tag.len() != 16 {
                continue;
            }
            let mut sealed = [field("CT").unwrap(), tag].concat();
            let opened = cipher(&field("Key").unwrap()).open(nonce, &field("AAD").unwrap(), &mut sealed);
            if case.contains("FAIL") {
                assert!(opened.is_err());
                refused += 1;
            } else {
                opened.unwrap();
                assert_eq!(Some(sealed), field("PT"));
            }
            seen += 1;
        }
        assert!(seen > 100, "{name}: {seen}");
        assert_eq!(refused > 0, name.contains("Decrypt"));
    }
}

#[test]
fn a_chunk_opens_only_in_its_own_place() {
    let chunk = sealed(HERE, b"content");
    assert_eq!(opens(&sealer(), HERE, &chunk).unwrap(), b"content");
    for at in [ChunkPlace { chunk: 4, ..HERE }, ChunkPlace { last: true, ..HERE }] {
        assert_eq!(opens(&sealer(), at, &chunk), None);
    }
    for other in [
        SegmentPlace { label: AssetLabel::new("b").unwrap(), ..place() },
        SegmentPlace { attempt: AttemptId([2; 16]), ..place() },
        SegmentPlace { stream: Stream::Column(4), ..place() },
        SegmentPlace { stream: Stream::Leaves, ..place() },
        SegmentPlace { segment: 3, ..place() },
    ] {
        assert_eq!(opens(&sealer_at(other), HERE, &chunk), None);
    }
    for key in [DataKey::from_bytes([8; 32]).segment_key(2), DataKey::from_bytes([7; 32]).segment_key(3)] {
        assert_eq!(opens(&Sealer::new(place(), CipherSuite::Aes256Gcm, key), HERE, &chunk), None);
    }
    // A chunk's key opens that chunk and no other.
    let key = DataKey::from_bytes([7; 32]).segment_key(2).chunk_key(HERE.chunk);
    let mut scratch = Scratch::default();
    let mut with_key = |at, sealed: &[u8]| {
        place().open(CipherSuite::Aes256Gcm, &key, at, sealed, &mut scratch).ok().map(<[u8]>::to_vec)
    };
    assert_eq!(with_key(HERE, &chunk).unwrap(), b"content");
    let next = ChunkPlace { chunk: 6, ..HERE };
    assert_eq!(with_key(next, &sealed(next, b"other")), None);
}

#[test]
fn lengths_are_padded_and_every_bit_counts() {
    for (content, padded) in [(0, 256), (220, 256), (221, 512), (476, 512)] {
        let chunk = sealed(HERE, &vec![1; content]);
        assert_eq!(chunk.len(), padded + TAG_BYTES);
        assert_eq!(opens(&sealer(), HERE, &chunk).unwrap(), vec![1; content]);
    }
    let chunk = sealed(HERE, b"x");
    for bit in 0..chunk.len() * 8 {
        let mut flipped = chunk.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opens(&sealer(), HERE, &flipped), None);
    }
    assert_eq!(opens(&sealer(), HERE, &chunk[..10]), None);
}

#[test]
fn a_frame_of_another_length_is_not_sealed() {
    for bytes in [0, TAG_BYTES, sealed_bytes(7) - 1, sealed_bytes(7) + 1, sealed_bytes(7) + PAD_BYTES] {
        assert!(sealer().seal(HERE, &mut vec![0; bytes], 7).is_err(), "{bytes}");
    }
}

#[test]
fn a_short_chunk_is_opened_where_a_longer_one_was() {
    let mut scratch = Scratch::default();
    for content in [vec![3; 5000], b"short".to_vec(), Vec::new(), vec![4; 700]] {
        let chunk = sealed(HERE, &content);
        assert_eq!(sealer().open(HERE, &chunk, &mut scratch), Ok(content.as_slice()));
    }
}

#[test]
fn a_key_commitment_tells_keys_apart() {
    let key = DataKey::from_bytes([7; 32]);
    key.check(&key.commitment()).unwrap();
    assert!(matches!(DataKey::from_bytes([8; 32]).check(&key.commitment()), Err(KeyError::Commitment)));
    assert!(!format!("{key:?}").contains('7'));
}
