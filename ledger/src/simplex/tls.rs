//! Mutual TLS 1.3 between nodes: a peer is whom its certificate's key says, if the certificate
//! comes from the consortium's authority and the key is a current member's
//! (docs/spec/network.md#connections).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::account::{NodeSecret, VerifyKey};
use crate::member::Certificate;

/// DER before the key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER before the seed in a PKCS #8 private key of Ed25519 (RFC 8410).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The keys of the nodes that may connect, shared with whoever learns that members changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed(Arc<RwLock<BTreeSet<[u8; 32]>>>);

impl Allowed {
    pub(crate) fn set(&self, keys: impl Iterator<Item = VerifyKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.map(|key| key.0).collect();
    }

    pub(crate) fn contains(&self, key: &VerifyKey) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&key.0)
    }
}

/// Both sides' settings.
pub(crate) struct Tls {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Tls {
    /// # Errors
    /// When the certificates are none, or the own one is not over the own key.
    pub(crate) fn new(
        authority: &Certificate,
        own: &Certificate,
        secret: &NodeSecret,
        allowed: Allowed,
    ) -> Result<Tls, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.0.clone()))?;
        let check = Arc::new(Check { roots, provider: provider.clone(), allowed });
        let chain = vec![CertificateDer::from(own.0.clone())];
        if key_of(&chain[..]).as_ref() != Some(&secret.verify_key()) {
            return Err(Error::General("the node's certificate is not over the node's key".into()));
        }
        let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from([&PKCS8[..], secret.seed()].concat()));
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(check.clone())
            .with_client_auth_cert(chain.clone(), key())?;
        // A resumed session would skip the check that the peer is still a member.
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(check)
            .with_single_cert(chain, key())?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
    }
}

/// The Ed25519 key of the first certificate, if it has one.
pub(crate) fn key_of(chain: &[CertificateDer<'_>]) -> Option<VerifyKey> {
    let parsed = ParsedCertificate::try_from(chain.first()?).ok()?;
    let info = parsed.subject_public_key_info();
    Some(VerifyKey(info.as_ref().strip_prefix(&SPKI)?.try_into().ok()?))
}

#[derive(Debug)]
struct Check {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    allowed: Allowed,
}

impl Check {
    fn check(&self, end: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, rest, now, algorithms)?;
        let key = key_of(std::slice::from_ref(end)).ok_or(CertificateError::BadEncoding)?;
        if self.allowed.contains(&key) { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Check {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
