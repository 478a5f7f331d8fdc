//! The client's side: a key that is made on the client and never leaves it.

use kubestile_core::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SigningKey};

/// A key made on the client, and the request to have it certified.
#[derive(Debug)]
pub struct ClientKey {
    key: KeyPair,
}

impl ClientKey {
    /// Makes a new P-256 key from the system's randomness.
    ///
    /// # Errors
    /// [`ClientKeyError::Crypto`] if the system's randomness fails.
    pub fn generate() -> Result<Self, ClientKeyError> {
        let key = KeyPair::generate().map_err(|e| ClientKeyError::Crypto(e.to_string()))?;
        Ok(Self { key })
    }

    /// Takes up a stored key, PKCS #8 PEM; P-256 or Ed25519.
    ///
    /// # Errors
    /// [`ClientKeyError::Unreadable`] if it is no such key.
    pub fn from_pem(pem: &Secret<String>) -> Result<Self, ClientKeyError> {
        let key = KeyPair::from_pem(pem.expose()).map_err(|_| ClientKeyError::Unreadable)?;
        let ours = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519];
        if ours.contains(&key.algorithm()) {
            Ok(Self { key })
        } else {
            Err(ClientKeyError::Unreadable)
        }
    }

    /// The private key, PKCS #8 PEM, to be stored with mode 0600.
    pub fn key_pem(&self) -> Secret<String> {
        Secret::new(self.key.serialize_pem())
    }

    /// A signing request for the key, PEM. It asks for nothing: the gate would not listen.
    ///
    /// # Errors
    /// [`ClientKeyError::Crypto`] if the encoder fails.
    pub fn csr_pem(&self) -> Result<String, ClientKeyError> {
        self.csr_pem_for("kubestile client", None)
    }

    /// A signing request for the key, PEM, as a user of this name and of this group
    /// (Kubernetes, "Authenticating", X509 client certificates).
    ///
    /// # Errors
    /// [`ClientKeyError::Crypto`] if the encoder fails.
    pub fn csr_pem_for(&self, user: &str, group: Option<&str>) -> Result<String, ClientKeyError> {
        let failed = |e: rcgen::Error| ClientKeyError::Crypto(e.to_string());
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, user);
        if let Some(group) = group {
            name.push(DnType::OrganizationName, group);
        }
        params.distinguished_name = name;
        let request = params.serialize_request(&self.key).map_err(failed)?;
        request.pem().map_err(failed)
    }

    /// Signs `message`: ECDSA with SHA-256 in ASN.1 form, or Ed25519.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ClientKeyError> {
        self.key
            .sign(message)
            .map_err(|e| ClientKeyError::Crypto(e.to_string()))
    }
}

/// Why a client's key could not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientKeyError {
    /// The stored key is damaged or of another kind.
    #[error("the stored key cannot be read: run `kubestile login` again")]
    Unreadable,
    /// The crypto library failed.
    #[error("cannot make or use the client key: {0}")]
    Crypto(String),
}
