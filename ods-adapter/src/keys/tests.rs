use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

fn label(text: &str) -> AssetLabel {
    AssetLabel::new(text).unwrap()
}

fn root() -> Arc<RootKey> {
    Arc::new(RootKey::generate().unwrap())
}

/// Every bit of the file changed in turn: none goes unnoticed.
fn each_bit_counts(path: &Path, refused: impl Fn() -> bool) {
    let whole = fs::read(path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, &bytes).unwrap();
        assert!(refused(), "bit {bit}");
    }
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(path, &whole[..cut]).unwrap();
        assert!(refused(), "cut at {cut}");
    }
    fs::write(path, &whole).unwrap();
    assert!(!refused());
}

#[test]
fn root_files_come_back_and_damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let key = RootKey::generate().unwrap();
    let argon2 = Argon2Parameters::generate().unwrap();
    let files = [
        RootFile::Key(key.clone()),
        RootFile::Passphrase(argon2, key.commitment()),
        RootFile::Environment(key.commitment()),
    ];
    for file in files {
        let path = dir.path().join(file.kind()).join("root.key");
        assert!(matches!(RootFile::load(&path), Err(KeyError::Missing { .. })));
        file.save(&path, false).unwrap();
        assert!(matches!(file.save(&path, false), Err(KeyError::Exists { .. })));
        file.save(&path, true).unwrap();
        let back = RootFile::load(&path).unwrap();
        assert_eq!((back.kind(), back.commitment()), (file.kind(), key.commitment()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        each_bit_counts(&path, || matches!(RootFile::load(&path), Err(KeyError::Damaged { .. })));
        back.check(key.clone(), "the key", &path).unwrap();
        let other = back.check(RootKey::generate().unwrap(), "SEALGATE_ROOT_KEY", &path).unwrap_err().to_string();
        assert!(other.contains("SEALGATE_ROOT_KEY") && other.contains("root.key"), "{other}");
        if let RootFile::Passphrase(read, _) = back {
            assert_eq!(read, argon2);
        }
    }
}

#[test]
fn a_root_key_is_64_hexadecimal_digits() {
    let text = hex::encode([7; 32]);
    let key = RootKey::from_hex(&format!("{text}\n"), "the variable").unwrap();
    assert_eq!(key.commitment(), RootKey::from_bytes([7; 32]).commitment());
    assert!(!format!("{key:?} {:?}", RootFile::Key(key.clone())).contains("0707"));
    for wrong in ["", "secret", &text[1..], &format!("{text}0")] {
        let error = RootKey::from_hex(wrong, "the variable").unwrap_err().to_string();
        assert!(error.contains("the variable") && !(wrong.len() > 5 && error.contains(wrong)), "{error}");
    }
}

/// The known answer is the reference implementation's (argon2-cffi), at the parameters in use.
#[test]
fn passphrases_become_keys_by_argon2id() {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(b"somesalt");
    let argon2 = |memory, passes, lanes, salt| {
        Argon2Parameters::parse(&format!("m={memory} t={passes} p={lanes} salt={}", hex::encode(salt))).unwrap()
    };
    let known = argon2(65536, 3, 4, salt).derive("password").unwrap();
    assert_eq!(
        known.commitment(),
        RootKey::from_hex("8656126e458bce8f30ec5684d90bef93735546d9bf9b79b439f328a6b8edd611", "").unwrap().commitment()
    );
    assert!(Argon2Parameters::generate().unwrap().to_string().starts_with("m=65536 t=3 p=4 salt="));
    let small = argon2(64, 1, 1, salt);
    let key = small.derive("password").unwrap();
    assert_eq!(key.commitment(), small.derive("password").unwrap().commitment());
    for other in [argon2(72, 1, 1, salt), argon2(64, 2, 1, salt), argon2(64, 1, 2, salt), argon2(64, 1, 1, [1; 16])] {
        assert_ne!(other.derive("password").unwrap().commitment(), key.commitment());
    }
    assert_ne!(small.derive("passwore").unwrap().commitment(), key.commitment());
    assert!(matches!(small.derive_new("password"), Err(KeyError::ShortPassphrase)));
    small.derive_new("password with words").unwrap();
    for absurd in [argon2(u32::MAX, 1, 1, salt), argon2(64, 1000, 1, salt), argon2(64, 1, 0, salt)] {
        assert!(matches!(absurd.derive("password"), Err(KeyError::Argon2(..))));
    }
}

#[test]
fn asset_keys_come_back_only_under_their_root() {
    let dir = tempfile::tempdir().unwrap();
    let vault = KeyFolder::new(&dir.path().join("keys"), root());
    assert!(vault.list().unwrap().is_empty());
    let made = vault.create_asset(&label("licences")).unwrap();
    vault.create_asset(&label("行政区划")).unwrap();
    assert!(matches!(vault.create_asset(&label("licences")), Err(KeyError::Exists { .. })));
    let back = vault.asset(&label("licences")).unwrap();
    assert_eq!(
        (back.place_seed(), back.commitment_key(), back.kek.expose()),
        (made.place_seed(), made.commitment_key(), made.kek.expose())
    );
    assert_eq!(vault.list().unwrap(), [label("licences"), label("行政区划")]);
    assert!(matches!(vault.asset(&label("none")), Err(KeyError::Missing { .. })));
    let other = KeyFolder::new(&dir.path().join("keys"), root());
    assert!(matches!(other.asset(&label("licences")), Err(KeyError::WrongRoot { .. })));
    assert!(matches!(other.replace(&made), Err(KeyError::WrongRoot { .. })));
    assert!(matches!(other.check_root(), Err(KeyError::WrongRoot { .. })));
    let path = vault.path(&label("licences"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    each_bit_counts(&path, || matches!(vault.asset(&label("licences")), Err(KeyError::Damaged { .. })));
    fs::copy(vault.path(&label("行政区划")), &path).unwrap();
    vault.check_root().unwrap();
    assert!(matches!(vault.asset(&label("licences")), Err(KeyError::Damaged { what: "it is another asset's", .. })));
}

/// Root keys change in three steps; after each, and between the files of each, both or one open all.
#[test]
fn root_keys_change_without_a_moment_in_which_nothing_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (root(), root());
    let before = KeyFolder::new(dir.path(), old.clone());
    let after = KeyFolder::new(dir.path(), new.clone());
    let labels = ["a", "b", "c"].map(label);
    let made = labels.each_ref().map(|label| before.create_asset(label).unwrap());
    let opens = |folder: &KeyFolder| {
        labels
            .iter()
            .zip(&made)
            .filter(|(label, made)| folder.asset(label).is_ok_and(|keys| keys.place_seed() == made.place_seed()))
            .count()
    };
    assert_eq!((opens(&before), opens(&after)), (3, 0));
    // Cut short: one file is damaged, those before it are done.
    let whole = fs::read(before.path(&labels[1])).unwrap();
    fs::write(before.path(&labels[1]), b"").unwrap();
    assert!(matches!(before.admit(&*new), Err(KeyError::Damaged { .. })));
    fs::write(before.path(&labels[1]), whole).unwrap();
    assert_eq!((opens(&before), opens(&after)), (3, 1));
    before.admit(&*new).unwrap();
    before.admit(&*new).unwrap();
    assert_eq!((opens(&before), opens(&after)), (3, 3));
    assert_eq!(after.expel_others().unwrap(), 3);
    assert_eq!(after.expel_others().unwrap(), 0);
    assert_eq!((opens(&before), opens(&after)), (0, 3));
    assert!(matches!(before.asset(&labels[0]), Err(KeyError::WrongRoot { .. })));
    assert!(matches!(before.admit(&*root()), Err(KeyError::WrongRoot { .. })));
}

#[test]
fn a_rotated_asset_opens_what_was_sealed_before_until_its_former_keys_are_retired() {
    let dir = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(dir.path(), root());
    let first = folder.create_asset(&label("a")).unwrap();
    let (attempt, key) = (AttemptId([1; 16]), DataKey::generate().unwrap());
    let sealed = |keys: &AssetKeys| {
        let manifest = keys.seal_manifest(attempt, b"magic", b"manifest").unwrap();
        (keys.seal_access(b"attempt").unwrap(), manifest, keys.wrap(&key, attempt, Stream::Leaves).unwrap())
    };
    let opens = |keys: &AssetKeys, (access, manifest, wrapped): &(Vec<u8>, Vec<u8>, WrappedKey)| {
        let opened = [
            keys.open_access(access).is_ok_and(|content| content == b"attempt"),
            keys.open_manifest(attempt, b"magic", manifest).is_ok_and(|content| *content == b"manifest"),
            keys.unwrap_key(wrapped, attempt, Stream::Leaves).is_ok_and(|opened| opened.expose() == key.expose()),
        ];
        assert!(opened.iter().all(|one| *one == opened[0]), "{opened:?}");
        opened[0]
    };
    let second = first.rotate().unwrap();
    folder.replace(&second).unwrap();
    let second = folder.asset(&label("a")).unwrap();
    assert_eq!(second.former_count(), 1);
    assert_eq!((second.place_seed(), second.commitment_key()), (first.place_seed(), first.commitment_key()));
    assert!(opens(&second, &sealed(&first)) && opens(&second, &sealed(&second)));
    assert!(!opens(&first, &sealed(&second)));
    folder.replace(&second.retire_former()).unwrap();
    let retired = folder.asset(&label("a")).unwrap();
    assert_eq!(retired.former_count(), 0);
    assert!(!opens(&retired, &sealed(&first)) && opens(&retired, &sealed(&second)));
    let mut keys = retired;
    for _ in 1..KEKS_MAX {
        keys = keys.rotate().unwrap();
    }
    assert!(matches!(keys.rotate(), Err(KeyError::TooManyKeks(_))));
    folder.replace(&keys).unwrap();
    assert!(opens(&folder.asset(&label("a")).unwrap(), &sealed(&second)));
}

#[test]
fn destroyed_keys_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(dir.path(), root());
    folder.create_asset(&label("a")).unwrap();
    folder.create_asset(&label("b")).unwrap();
    let path = folder.path(&label("a"));
    // Another name of the same file, and what a crash may have left of writing it.
    let (copy, unfinished) = (dir.path().join("kept"), dir.path().join(format!(".{}.key.00.tmp", label("a").hex())));
    fs::hard_link(&path, &copy).unwrap();
    fs::copy(&path, &unfinished).unwrap();
    let before = fs::read(&copy).unwrap();
    folder.destroy(&label("a")).unwrap();
    let after = fs::read(&copy).unwrap();
    assert_eq!(before.len(), after.len());
    assert!(before.chunks(8).zip(after.chunks(8)).all(|(before, after)| before != after), "overwritten");
    assert!(!unfinished.exists());
    assert!(matches!(folder.asset(&label("a")), Err(KeyError::Missing { .. })));
    assert!(matches!(folder.destroy(&label("a")), Err(KeyError::Missing { .. })));
    assert_eq!(folder.list().unwrap(), [label("b")]);
    folder.asset(&label("b")).unwrap();
}

#[test]
fn access_information_and_data_keys_open_for_their_asset_only() {
    let (a, b) = (AssetKeys::generate(label("a")).unwrap(), AssetKeys::generate(label("b")).unwrap());
    let sealed = a.seal_access(b"attempt").unwrap();
    assert_eq!(a.open_access(&sealed).unwrap(), b"attempt");
    assert!(b.open_access(&sealed).is_err());
    assert!(a.open_access(&sealed[..5]).is_err());
    let (key, attempt) = (DataKey::generate().unwrap(), AttemptId([1; 16]));
    let wrapped = a.wrap(&key, attempt, Stream::Leaves).unwrap();
    assert_eq!(a.unwrap_key(&wrapped, attempt, Stream::Leaves).unwrap().expose(), key.expose());
    assert!(a.unwrap_key(&wrapped, attempt, Stream::Index).is_err());
    assert!(a.unwrap_key(&wrapped, AttemptId([2; 16]), Stream::Leaves).is_err());
    assert!(b.unwrap_key(&wrapped, attempt, Stream::Leaves).is_err());
    let lying = WrappedKey { commitment: KeyCommitment([0; 32]), ..wrapped };
    assert!(matches!(a.unwrap_key(&lying, attempt, Stream::Leaves), Err(KeyError::Commitment)));
}

#[test]
fn bad_labels_are_refused() {
    for text in ["", "a\nb", &"x".repeat(LABEL_BYTES_MAX + 1)] {
        assert!(matches!(AssetLabel::new(text), Err(KeyError::Label(_))));
    }
}

/// A device that holds its keys itself, gives out handles, and can be unplugged.
#[derive(Debug)]
struct Device {
    serial: [u8; 32],
    held: Mutex<Vec<(Vec<u8>, [u8; 32])>>,
    plugged: AtomicBool,
}

impl Device {
    fn new(serial: u8) -> Arc<Self> {
        Arc::new(Self { serial: [serial; 32], held: Mutex::default(), plugged: AtomicBool::new(true) })
    }

    fn reached(&self) -> Result<(), KeyError> {
        match self.plugged.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(KeyError::Vault("the device does not answer".into())),
        }
    }
}

impl KeyVault for Device {
    fn wrap_key(&self, aad: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        self.reached()?;
        let mut held = self.held.lock().unwrap();
        held.push((aad.to_vec(), *secret));
        Ok((held.len() as u64 - 1).to_le_bytes().to_vec())
    }

    fn unwrap_key(&self, aad: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        self.reached()?;
        let handle: Option<[u8; 8]> = wrapped.try_into().ok();
        let held = self.held.lock().unwrap();
        let found = handle.and_then(|handle| held.get(u64::from_le_bytes(handle) as usize));
        let found = found.filter(|(of, _)| of == aad).ok_or(KeyError::NotOpened("a key"))?;
        Ok(Zeroizing::new(found.1))
    }

    fn commitment(&self) -> RootCommitment {
        RootCommitment(self.serial)
    }
}

/// Keys move from a root key in memory to a device, from there to another one and back, and no folder needs to
/// know what kind of vault holds its root key.
#[test]
fn root_keys_move_between_vaults_of_any_kind() {
    let dir = tempfile::tempdir().unwrap();
    let (first, device, second) = (root(), Device::new(1), Device::new(2));
    let vaults: [Arc<dyn KeyVault>; 4] = [first, device.clone(), second.clone(), root()];
    let labels = [label("a"), label("b"), label("c")];
    let before = KeyFolder::new(dir.path(), Arc::clone(&vaults[0]));
    let seeds = labels.each_ref().map(|label| *before.create_asset(label).unwrap().place_seed());
    for pair in vaults.windows(2) {
        let (old, new) =
            (KeyFolder::new(dir.path(), Arc::clone(&pair[0])), KeyFolder::new(dir.path(), Arc::clone(&pair[1])));
        old.admit(pair[1].as_ref()).unwrap();
        // Until the others are shut out both open everything.
        for folder in [&old, &new] {
            assert_eq!(labels.each_ref().map(|label| *folder.asset(label).unwrap().place_seed()), seeds);
        }
        assert_eq!(new.expel_others().unwrap(), labels.len());
        assert!(labels.iter().all(|label| matches!(old.asset(label), Err(KeyError::WrongRoot { .. }))));
        assert_eq!(labels.each_ref().map(|label| *new.asset(label).unwrap().place_seed()), seeds);
    }
    // A device that is away is no damaged file, and nothing is changed meanwhile.
    let folder = KeyFolder::new(dir.path(), Arc::clone(&vaults[3]));
    device.plugged.store(false, Ordering::SeqCst);
    assert!(matches!(folder.admit(device.as_ref()), Err(KeyError::Vault(_))));
    assert_eq!(labels.each_ref().map(|label| *folder.asset(label).unwrap().place_seed()), seeds);
    folder.admit(second.as_ref()).unwrap();
    second.plugged.store(false, Ordering::SeqCst);
    let away = KeyFolder::new(dir.path(), second);
    assert!(matches!(away.asset(&labels[0]), Err(KeyError::Vault(_))));
}
