//! The certificate under which a gateway serves: its owner's own, or one it makes for itself. Files that
//! change are read again, so that a renewal needs no restart (docs/spec/api.md#certificates).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::config::Tls;
use crate::files::{FileError, read_bounded, write_private};

/// Names of a generated certificate and its key in the data folder.
pub const GENERATED_CERTIFICATE: &str = "serving.pem";
const GENERATED_KEY: &str = "serving.key";
/// Longest certificate chain or key that is read, in bytes.
const PEM_BYTES_MAX: u64 = 256 << 10;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// Last year of a generated certificate: people who pinned it are not surprised by its end, and whoever
/// wants another deletes the files.
const LAST_YEAR: i32 = 2099;

/// Why there is no certificate to serve under.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is no PEM, or holds something else.
    #[error("{path}: {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what should be there.
        what: String,
    },
    /// Certificate and key do not go together, or the key is of a kind that cannot be used.
    #[error("certificate {certificate} and key {key}: {source}; give the key that the certificate was made for", certificate = certificate.display(), key = key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What does not fit.
        source: rustls::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The library refuses its configuration.
    #[error("TLS cannot be used: {0}")]
    Library(rustls::Error),
}

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    current: RwLock<(Arc<CertifiedKey>, Stamp)>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What shows that a file was replaced.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    /// The certificate that a configuration names; nothing where it says `off`. A generated one is made
    /// when it is not in `folder` yet, for the host of `listen` and this machine.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(tls: &Tls, folder: &Path, listen: &str) -> Result<Option<Arc<Certificates>>, TlsError> {
        let files = match tls {
            Tls::Off | Tls::Proxy => return Ok(None),
            Tls::Files { certificate, key } => Files { certificate: certificate.clone(), key: key.clone() },
            Tls::Generated => {
                let files = Files { certificate: folder.join(GENERATED_CERTIFICATE), key: folder.join(GENERATED_KEY) };
                if !files.certificate.exists() || !files.key.exists() {
                    generate(&files, listen)?;
                }
                files
            }
        };
        let stamp = files.stamp();
        let current = RwLock::new((files.read()?, stamp));
        Ok(Some(Arc::new(Certificates { files, current })))
    }

    /// What takes connections under it.
    ///
    /// # Errors
    /// [`TlsError::Library`].
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Ok(Arc::new(config).into())
    }

    /// Where the certificate lies, PEM.
    pub fn path(&self) -> &Path {
        &self.files.certificate
    }

    /// SHA-256 of the gateway's own certificate, as browsers and `openssl x509 -fingerprint -sha256` show it.
    pub fn fingerprint(&self) -> String {
        let key = self.current();
        let digest = Sha256::digest(key.cert.first().map(|first| first.as_ref()).unwrap_or_default());
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Reads the files again, if `anyway` or when they have changed. What cannot be read is logged, and the
    /// certificate stays what it was.
    fn renew(&self, anyway: bool) {
        let stamp = self.files.stamp();
        if !anyway && self.current.read().unwrap_or_else(PoisonError::into_inner).1 == stamp {
            return;
        }
        match self.files.read() {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = (key, stamp);
                tracing::info!(fingerprint = self.fingerprint(), "serving under the certificate that was read again");
            }
            Err(error) => {
                self.current.write().unwrap_or_else(PoisonError::into_inner).1 = stamp;
                tracing::error!(%error, "the certificate was changed, but cannot be used: the one before stays");
            }
        }
    }

    /// Renews whenever the files change or the process is sent SIGHUP. Never ends.
    pub(super) async fn keep_current(self: Arc<Self>) {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                Some(asked) = async { hangup.as_mut()?.recv().await } => { let () = asked; true }
            };
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.renew(asked)).await;
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn provider() -> Arc<CryptoProvider> {
    aws_lc_rs::default_provider().into()
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let wrong = |path: &Path, what: String| TlsError::Content { path: path.to_owned(), what };
        let text = read_bounded(&self.certificate, PEM_BYTES_MAX)?;
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|error| wrong(&self.certificate, format!("no PEM: {error}")))?;
        if chain.is_empty() {
            return Err(wrong(
                &self.certificate,
                "holds no certificate: it should be PEM, the gateway's own first".into(),
            ));
        }
        let text = zeroize::Zeroizing::new(read_bounded(&self.key, PEM_BYTES_MAX)?);
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            wrong(&self.key, format!("no private key in PEM ({error}); an encrypted one cannot be read"))
        })?;
        let pair = |source| TlsError::Pair { certificate: self.certificate.clone(), key: self.key.clone(), source };
        CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(pair)
    }
}

/// Makes a self-signed certificate for the names under which this machine is reached.
fn generate(files: &Files, listen: &str) -> Result<(), TlsError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for name in [host, own.trim()] {
        let unspecified = name.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
        if !name.is_empty() && !unspecified && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let mut params = CertificateParams::new(names)?;
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(LAST_YEAR, 12, 31);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Sealgate gateway");
    let pair = KeyPair::generate()?;
    let certificate = params.self_signed(&pair)?;
    let secret = zeroize::Zeroizing::new(pair.serialize_pem());
    for (path, content) in [(&files.key, secret.as_bytes()), (&files.certificate, certificate.pem().as_bytes())] {
        write_private(path, content, true).map_err(FileError::io(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_certificate_is_made_once_kept_private_and_renewed_when_its_files_change() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let open = || Certificates::open(&Tls::Generated, dir.path(), "gateway.example:8443").unwrap().unwrap();
        let first = open();
        assert_eq!(open().fingerprint(), first.fingerprint());
        let mode = std::fs::metadata(dir.path().join(GENERATED_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = first.fingerprint();
        // Nothing changed; then another key without its certificate, which is refused; then both.
        first.renew(false);
        assert_eq!(first.fingerprint(), before);
        let other = tempfile::tempdir().unwrap();
        let second = Certificates::open(&Tls::Generated, other.path(), "127.0.0.1:0").unwrap().unwrap();
        std::fs::copy(other.path().join(GENERATED_KEY), dir.path().join(GENERATED_KEY)).unwrap();
        first.renew(true);
        assert_eq!(first.fingerprint(), before);
        std::fs::copy(other.path().join(GENERATED_CERTIFICATE), dir.path().join(GENERATED_CERTIFICATE)).unwrap();
        first.renew(true);
        assert_eq!(first.fingerprint(), second.fingerprint());
    }

    #[test]
    fn what_cannot_be_served_under_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let [certificate, key] = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
        let tls = Tls::Files { certificate: certificate.clone(), key: key.clone() };
        let said = || Certificates::open(&tls, dir.path(), "127.0.0.1:0").unwrap_err().to_string();
        assert!(said().contains("chain.pem"));
        std::fs::write(&certificate, "hello").unwrap();
        assert!(said().contains("chain.pem: holds no certificate"), "{}", said());
        let [a, b] = [(); 2].map(|()| {
            let folder = tempfile::tempdir().unwrap();
            Certificates::open(&Tls::Generated, folder.path(), "x:1").unwrap();
            folder
        });
        std::fs::copy(a.path().join(GENERATED_CERTIFICATE), &certificate).unwrap();
        std::fs::write(&key, "hello").unwrap();
        assert!(said().contains("key.pem: no private key in PEM"), "{}", said());
        std::fs::copy(b.path().join(GENERATED_KEY), &key).unwrap();
        assert!(said().contains("give the key that the certificate was made for"), "{}", said());
    }
}
