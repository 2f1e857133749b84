//! How the nodes of a ledger are: the own one from within, the others as their gateways say; and what
//! their certificates say.

use std::path::Path;

use sealgate_ledger::account::VerifyKey;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::log::LOG_FILE;
use sealgate_ledger::member::{Certificate, Member};
#[cfg(feature = "simplex")]
use sealgate_ledger::simplex::NodeStatus;
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;

use crate::client::Client;
use crate::client::health::Health;
use crate::files::FileError;

/// How this member's node stands; nothing to tell where the ledger is an embedded one.
#[derive(Debug, Clone, Default)]
pub struct OwnNode {
    #[cfg(feature = "simplex")]
    status: Option<NodeStatus>,
}

impl OwnNode {
    /// Of a running node.
    #[cfg(feature = "simplex")]
    pub fn of(status: NodeStatus) -> OwnNode {
        OwnNode { status: Some(status) }
    }

    /// The other nodes that it knows, and whether it is connected to them.
    pub fn peers(&self) -> Vec<(VerifyKey, bool)> {
        #[cfg(feature = "simplex")]
        if let Some(status) = &self.status {
            return status.peers();
        }
        Vec::new()
    }

    /// The last block that it executed, which a quorum may not have signed yet.
    pub fn executed(&self) -> Option<BlockHeight> {
        #[cfg(feature = "simplex")]
        if let Some(status) = &self.status {
            return Some(status.executed());
        }
        None
    }

    /// Why it takes nothing more, if it does not.
    pub fn stopped(&self) -> Option<String> {
        #[cfg(feature = "simplex")]
        if let Some(status) = &self.status {
            return status.stopped();
        }
        None
    }
}

/// Room on the disk of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes of the block log.
    pub log_bytes: u64,
    /// Bytes that are free for this user.
    pub free_bytes: u64,
    /// Bytes of the whole file system.
    pub total_bytes: u64,
}

impl Disk {
    /// Of a ledger's folder.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn of(ledger: &Path) -> Result<Disk, FileError> {
        let log = ledger.join(LOG_FILE);
        let log_bytes = std::fs::metadata(&log).map_err(FileError::io(&log))?.len();
        let room = rustix::fs::statvfs(ledger).map_err(|error| FileError::io(ledger)(error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(room.f_frsize);
        Ok(Disk { log_bytes, free_bytes: bytes(room.f_bavail), total_bytes: bytes(room.f_blocks) })
    }
}

/// Asks the gateways of these members how they are, all at once; an error is for people.
pub async fn ask_all<'a>(members: &[&'a Member]) -> Vec<(&'a Member, Result<Health, String>)> {
    let ask = async |member: &&'a Member| {
        let health = match Client::new(&member.gateway) {
            Ok(client) => client.health().await,
            Err(error) => Err(error),
        };
        (*member, health.map_err(|error| error.to_string()))
    };
    futures::future::join_all(members.iter().map(ask)).await
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// Whom it is for.
    pub subject: String,
    /// Who made it.
    pub issuer: String,
    /// Its last second, since 1970-01-01 UTC; none where it has no end (RFC 5280, section 4.1.2.5).
    pub ends_s: Option<u64>,
    /// SHA-256 over the whole of it, in hexadecimal.
    pub fingerprint: String,
}

/// The last second of a certificate that has no well-defined end, 9999-12-31 23:59:59 UTC, and the
/// beginning of that day, which some write.
const NO_END_S: u64 = 253_402_214_400;

impl CertificateView {
    /// Reads a certificate; whether it is good for anything is for those who connect. None where it
    /// cannot be read.
    pub fn of(certificate: &Certificate) -> Option<CertificateView> {
        let read = x509_cert::Certificate::from_der(&certificate.0).ok()?.tbs_certificate;
        let ends_s = read.validity.not_after.to_unix_duration().as_secs();
        Some(CertificateView {
            subject: read.subject.to_string(),
            issuer: read.issuer.to_string(),
            ends_s: (ends_s < NO_END_S).then_some(ends_s),
            fingerprint: hex::encode(Sha256::digest(&certificate.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = |end: (i32, u8, u8)| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, "Registry, of <Companies>");
            params.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
            CertificateView::of(&Certificate(params.self_signed(&key).unwrap().der().to_vec())).unwrap()
        };
        let view = made((2030, 1, 2));
        assert_eq!(view.ends_s, Some(1_893_542_400));
        assert!(view.subject.contains("Registry") && view.subject == view.issuer, "{view:?}");
        assert_eq!(view.fingerprint.len(), 64);
        assert_eq!(made((9999, 12, 31)).ends_s, None);
        assert_eq!(CertificateView::of(&Certificate(Vec::new())), None);
        assert_eq!(CertificateView::of(&Certificate(vec![0x30; 300])), None);
    }

    #[test]
    fn the_disk_of_a_ledger() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Disk::of(dir.path()).is_err());
        std::fs::write(dir.path().join(LOG_FILE), [0; 1234]).unwrap();
        let disk = Disk::of(dir.path()).unwrap();
        assert_eq!(disk.log_bytes, 1234);
        assert!(disk.free_bytes <= disk.total_bytes && disk.total_bytes > 0);
    }
}
