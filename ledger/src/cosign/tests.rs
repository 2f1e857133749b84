//! The formats against what others publish, and every altered bit.

use super::*;
use crate::account::NodeSecret;
use crate::checkpoint::Checkpoint;
use crate::ids::{BlockHash, BlockHeight, LogRoot};
use crate::testing::genesis;

/// A checkpoint of a public Certificate Transparency log with the cosignatures of four public
/// witnesses, and their published keys.
const PUBLIC: &str = "\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";
const PUBLIC_WITNESSES: [&str; 4] = [
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
];

fn witness(name: &str, seed: u8) -> WitnessSecret {
    WitnessSecret::from_seed(name, [seed; 32]).unwrap()
}

fn checkpoint() -> SignedCheckpoint {
    let (genesis, operator) = genesis();
    let (height, block) = (BlockHeight(6), BlockHash([9; 32]));
    let checkpoint = Checkpoint { size: 42, root: LogRoot([7; 32]), height, block };
    checkpoint.sign(&genesis.chain_id(), &NodeSecret::of(&operator))
}

#[test]
fn cosignatures_of_public_witnesses_hold() {
    let note = SignedCheckpoint(PUBLIC.into());
    for text in PUBLIC_WITNESSES {
        let key: WitnessKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.cosigned(&note).unwrap(), Some(1_779_573_024), "{text}");
        for changed in [("1432088532", "1432088533"), ("\nU7WM", "\nV7WM"), ("4Ro=\n\n", "4Ro=\nmore\n\n")] {
            let note = SignedCheckpoint(PUBLIC.replacen(changed.0, changed.1, 1));
            assert_eq!(key.cosigned(&note), Err(CheckpointError::Cosignature(key.name().into())), "{changed:?}");
        }
    }
}

/// The note and key of the example in c2sp.org/signed-note, whose signature is a plain one.
#[test]
fn the_published_note_and_key_are_read() {
    let note = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let key = STANDARD.decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let key = VerifyKey(key[1..].try_into().unwrap());
    let note = Note::read(note).unwrap();
    let line = &note.lines[0];
    assert_eq!((line.name, hex::encode(line.hash).as_str()), ("example.com/foo", "530d903a"));
    assert_eq!(line.hash, key_hash("example.com/foo", 1, &key));
    let signature = ed25519_dalek::Signature::from_slice(&line.signature).unwrap();
    VerifyingKey::from_bytes(&key.0).unwrap().verify_strict(note.text.as_bytes(), &signature).unwrap();
    // A key for plain signatures is no witness's.
    let error = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse::<WitnessKey>();
    assert!(error.unwrap_err().to_string().contains("type 4"));
}

/// The message of the worked example in c2sp.org/tlog-cosignature.
#[test]
fn the_published_message_is_signed() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    assert_eq!(message(1_679_315_147, text), format!("cosignature/v1\ntime 1679315147\n{text}"));
}

#[test]
fn cosigned_and_read_back_beside_others() {
    let (one, two) = (witness("witness.example/one", 1), witness("witness.example/two", 2));
    let bare = checkpoint();
    let first = one.cosign(&bare, 1_700_000_000).unwrap();
    let second = two.cosign(&bare, 1_700_000_001).unwrap();
    let later = one.cosign(&bare, 1_700_000_009).unwrap();
    let note = attach(&bare, [first.as_str(), &second]);
    assert_eq!(one.public().cosigned(&note).unwrap(), Some(1_700_000_000));
    assert_eq!(two.public().cosigned(&note).unwrap(), Some(1_700_000_001));
    assert_eq!(one.public().cosigned(&attach(&note, [later.as_str()])).unwrap(), Some(1_700_000_009));
    assert_eq!(one.public().cosigned(&bare).unwrap(), None);
    // The same key under another name, and another key under the same name, are other witnesses.
    assert_eq!(witness("witness.example/other", 1).public().cosigned(&note).unwrap(), None);
    assert_eq!(witness("witness.example/one", 3).public().cosigned(&note).unwrap(), None);
    // One that signs in another's name spoils the note.
    let mut forged = NoteLine::read(&second).unwrap().signature;
    let mut bytes = one.public().hash().to_vec();
    bytes.append(&mut forged);
    let forged = format!("\u{2014} witness.example/one {}", STANDARD.encode(bytes));
    let spoiled = attach(&note, [forged.as_str()]);
    assert_eq!(one.public().cosigned(&spoiled), Err(CheckpointError::Cosignature("witness.example/one".into())));
    // The ledger's own signature still holds beside any of them.
    let (genesis, _) = genesis();
    let (chain, members) = (genesis.chain_id(), genesis.members());
    assert_eq!(note.verify(&chain, &members).unwrap(), bare.verify(&chain, &members).unwrap());
    assert!(!format!("{one:?}").contains(&hex::encode(one.seed())));
}

#[test]
fn no_altered_bit_counts_as_witnessed() {
    let secret = witness("witness.example/one", 1);
    let bare = checkpoint();
    let line = secret.cosign(&bare, 1_700_000_000).unwrap();
    let note = attach(&bare, [line.as_str()]).0;
    let ours = note.len() - line.len() - 1;
    let operators = note.find("\u{2014}").unwrap();
    let mut silent = 0;
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let witnessed = secret.public().cosigned(&SignedCheckpoint(text));
            // Only the operator's own line may change: the witness did not sign that.
            if (operators..ours).contains(&at) {
                continue;
            }
            assert!(!matches!(witnessed, Ok(Some(_))), "byte {at}, bit {bit}");
            silent += u32::from(matches!(witnessed, Ok(None)));
        }
    }
    // A changed name or id is another key's line.
    assert!(silent > 0);
}

#[test]
fn other_spellings_of_keys_are_refused() {
    let key = witness("witness.example/one", 1).public().to_string();
    assert_eq!(key.parse::<WitnessKey>().unwrap().to_string(), key);
    let json = serde_json::to_string(&key.parse::<WitnessKey>().unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<WitnessKey>(&json).unwrap().to_string(), key);
    for at in 0..key.len() {
        for bit in 0..8 {
            let mut bytes = key.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(text.parse::<WitnessKey>().is_err(), "{text}");
            }
        }
    }
    for wrong in ["", "a", "a+b", "a+b+c", "+00000000+BA==", &format!("{key} "), &format!("{key}+")] {
        assert!(wrong.parse::<WitnessKey>().is_err(), "{wrong}");
    }
    for name in ["", "two words", "plus+sign", "line\nend", "no\u{a0}break", &"x".repeat(121)] {
        assert!(WitnessSecret::from_seed(name, [1; 32]).is_err(), "{name:?}");
    }
    let mut identity = [0u8; 32];
    identity[0] = 1;
    assert!(WitnessKey::new("weak", VerifyKey(identity)).is_err());
}
