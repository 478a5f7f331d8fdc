use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};

use super::*;
use crate::ClientKey;
use crate::authority::pem;

fn request_of(key: &KeyPair) -> String {
    let params = CertificateParams::default();
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn der_of(csr: &str) -> Vec<u8> {
    CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
        .unwrap()
        .to_vec()
}

fn read_der(der: &[u8]) -> Result<CertificateRequest, RequestError> {
    CertificateRequest::read(&pem("CERTIFICATE REQUEST", der))
}

#[test]
fn a_request_gives_the_digest_of_its_key() {
    let key = KeyPair::generate().unwrap();
    let request = CertificateRequest::read(&request_of(&key)).unwrap();
    assert_eq!(
        request.key_digest(),
        key_digest(&key.subject_public_key_info())
    );
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert!(CertificateRequest::read(&request_of(&ed)).is_ok());
}

#[test]
fn other_kinds_of_keys_are_refused() {
    for kind in [&PKCS_RSA_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(kind).unwrap();
        let refused = CertificateRequest::read(&request_of(&key)).unwrap_err();
        assert_eq!(refused, RequestError::KeyKind);
    }
}

#[test]
fn a_request_for_somebody_elses_key_is_refused() {
    let victim = der_of(&request_of(&KeyPair::generate().unwrap()));
    let mut forged = der_of(&request_of(&KeyPair::generate().unwrap()));
    // Both have the same layout up to the key's point: put the victim's point in place of ours.
    let point = |der: &[u8]| {
        der.windows(3)
            .position(|w| w == [0x42, 0x00, 0x04])
            .unwrap()
            + 2
    };
    let (from, to) = (point(&victim), point(&forged));
    forged[to..to + 65].copy_from_slice(&victim[from..from + 65]);
    assert_eq!(read_der(&forged).unwrap_err(), RequestError::NotSigned);
}

/// What the signature covers cannot be changed. The parser overlooks two bits of what it does not
/// cover (the tag of the algorithm, unused bits of the signature): they change nothing.
#[test]
fn no_flipped_bit_gives_another_key() {
    let der = der_of(&ClientKey::generate().unwrap().csr_pem().unwrap());
    let digest = read_der(&der).unwrap().key_digest().to_owned();
    let mut refused = 0;
    for i in 0..der.len() {
        let mut bad = der.clone();
        bad[i] ^= 1;
        match read_der(&bad) {
            Ok(read) => assert_eq!(read.key_digest(), digest, "byte {i}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused >= der.len() - 2, "{refused} of {}", der.len());
}

#[test]
fn only_one_request_and_nothing_else_is_read() {
    let csr = ClientKey::generate().unwrap().csr_pem().unwrap();
    let der = der_of(&csr);
    let read = |text: &str| CertificateRequest::read(text).unwrap_err();
    assert_eq!(read(""), RequestError::Malformed);
    assert_eq!(read(&format!("{csr}{csr}")), RequestError::Malformed);
    assert_eq!(read(&pem("CERTIFICATE", &der)), RequestError::Malformed);
    assert_eq!(read(&" ".repeat(LIMIT + 1)), RequestError::TooLong);
    let with_more = [der.as_slice(), &[5, 0]].concat();
    assert_eq!(read_der(&with_more).unwrap_err(), RequestError::Malformed);
    for cut in 0..der.len() {
        assert!(read_der(&der[..cut]).is_err(), "cut at {cut}");
    }
}
