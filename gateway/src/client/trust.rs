//! Which certificates this process believes when it calls `https://` (docs/spec/api.md#certificates).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reqwest::{Certificate, ClientBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::files::{FileError, read_bounded};

/// Variable that names a file of certificates, as `--gateway-ca` does.
pub const VARIABLE: &str = "SEALGATE_CA";
/// Longest such file that is read, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

static CHOSEN: OnceLock<Vec<Certificate>> = OnceLock::new();

/// Why certificates cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// TLS as such.
    #[error("certificates cannot be checked: {0}")]
    Library(String),
}

/// From now on believes the certificates in this file, or in the one that [`VARIABLE`] names, and no others;
/// where neither is given, those that the system trusts. Called once, at the start.
///
/// # Errors
/// [`TrustError::File`] when the file holds no certificates.
pub fn choose(file: Option<&Path>) -> Result<(), TrustError> {
    let named = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    let Some(path) = file.map(Path::to_owned).or(named) else { return Ok(()) };
    let wrong = |what: &dyn std::fmt::Display| {
        FileError::content(&path, format!("{what}; give the gateway's certificate, or its authority's, as PEM"))
    };
    let certificates =
        Certificate::from_pem_bundle(&read_bounded(&path, PEM_BYTES_MAX)?).map_err(|error| wrong(&error))?;
    if certificates.is_empty() {
        return Err(wrong(&"it holds no certificate").into());
    }
    let _ = CHOSEN.set(certificates);
    Ok(())
}

/// A client that believes what was chosen.
pub(super) fn believing(builder: ClientBuilder, is_https: bool) -> ClientBuilder {
    match CHOSEN.get() {
        // Nothing to check: the system's certificates need not be read.
        _ if !is_https => builder.tls_certs_only([]),
        Some(certificates) => builder.tls_certs_only(certificates.iter().cloned()),
        None => builder,
    }
}

/// A client that believes the very certificate in a file, whatever name it is for: the owner's own commands
/// call their gateway by its address.
pub(super) fn believing_only(builder: ClientBuilder, file: &Path) -> Result<ClientBuilder, TrustError> {
    let text = read_bounded(file, PEM_BYTES_MAX)?;
    let certificate = CertificateDer::from_pem_slice(&text).map_err(|error| FileError::content(file, error))?;
    let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
    let library = |error: rustls::Error| TrustError::Library(error.to_string());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(library)?
        .dangerous()
        .with_custom_certificate_verifier(std::sync::Arc::new(Pinned { certificate, provider }))
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}

/// Believes one certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: std::sync::Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
