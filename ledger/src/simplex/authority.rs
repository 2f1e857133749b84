//! The consortium's certificate authority and the certificates of nodes (X.509, RFC 5280;
//! docs/spec/network.md#certificates).

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use sealgate_circuits::bytes::tagged_hash;

use crate::account::{NodeSecret, VerifyKey};
use crate::member::Certificate;

/// What every certificate of a node is for, as a DNS name; who the node is says its key.
pub const NODE_NAME: &str = "node.sealgate.internal";
/// RFC 5280, section 4.1.2.5: no well-defined end. A member's right ends on the ledger.
const NO_END: (i32, u8, u8) = (9999, 12, 31);
const BEGIN: (i32, u8, u8) = (2020, 1, 1);

/// A consortium's own certificate authority. Any other that issues Ed25519 certificates over the
/// nodes' keys does as well: what a node checks is the chain to the certificate in the genesis.
pub struct Authority {
    name: String,
    key: NodeSecret,
}

/// Why a certificate could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate could not be made: {0}")]
pub struct AuthorityError(String);

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        AuthorityError(error.to_string())
    }
}

impl Authority {
    /// The authority called `name` that signs with `key`.
    pub fn new(name: &str, key: NodeSecret) -> Authority {
        Authority { name: name.to_owned(), key }
    }

    /// Its own certificate, which a genesis names.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn certificate(&self) -> Result<Certificate, AuthorityError> {
        let made = self.params()?.self_signed(&Signer(&self.key, self.key.verify_key()))?;
        Ok(Certificate(made.der().to_vec()))
    }

    /// A certificate for the node of the organisation `name` that has the key `node`.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn issue(&self, name: &str, node: &VerifyKey) -> Result<Certificate, AuthorityError> {
        let mut params = params(name, node)?;
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(NODE_NAME.try_into().map_err(|_| AuthorityError(NODE_NAME.to_owned()))?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(self.params()?, Signer(&self.key, self.key.verify_key()));
        Ok(Certificate(params.signed_by(&Public(*node), &issuer)?.der().to_vec()))
    }

    fn params(&self) -> Result<CertificateParams, AuthorityError> {
        let mut params = params(&self.name, &self.key.verify_key())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(params)
    }
}

fn params(name: &str, key: &VerifyKey) -> Result<CertificateParams, AuthorityError> {
    let id = tagged_hash("sealgate/certificate/1", &[name.as_bytes(), &key.0]);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // A positive number of 16 bytes that differs for every name and key.
    let serial: Vec<u8> = std::iter::once(1).chain(id.into_iter().take(15)).collect();
    params.serial_number = Some(SerialNumber::from(serial));
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.0.into_iter().take(20).collect());
    params.not_before = date_time_ymd(BEGIN.0, BEGIN.1, BEGIN.2);
    params.not_after = date_time_ymd(NO_END.0, NO_END.1, NO_END.2);
    Ok(params)
}

struct Public(VerifyKey);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

struct Signer<'a>(&'a NodeSecret, VerifyKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign_raw(message).0.to_vec())
    }
}
