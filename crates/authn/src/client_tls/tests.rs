use kubestile_core::{Timestamp, Ttl};

use super::*;
use crate::tests::{Client, NOW, authority};
use crate::tls::tests::{Gate, connect, server_certificate};
use crate::{Authority, TlsVersion};

fn at(now: Timestamp) -> Clock {
    Arc::new(move || now)
}

fn config(trust: GateTrust<'_>) -> Arc<ClientConfig> {
    Arc::new(client_tls(trust, None, at(NOW)).unwrap())
}

#[test]
fn a_gate_is_known_by_its_authority_or_by_the_fingerprint_of_it() {
    for minimum in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let gate = Gate::new(minimum);
        let (pem, fingerprint) = (gate.authority.pem(), gate.authority.fingerprint());
        assert!(connect(&gate, config(GateTrust::Authority(&pem))).is_ok());
        assert!(connect(&gate, config(GateTrust::Fingerprint(&fingerprint))).is_ok());
    }
}

#[test]
fn another_gate_is_not_taken_for_it() {
    let (gate, other) = (Gate::new(TlsVersion::Tls13), authority());
    let (pem, fingerprint) = (other.pem(), other.fingerprint());
    assert!(connect(&gate, config(GateTrust::Authority(&pem))).is_err());
    assert!(connect(&gate, config(GateTrust::Fingerprint(&fingerprint))).is_err());
}

/// The authority's certificate is public: an imposter shows it beside a certificate of their own.
#[test]
fn showing_the_right_authority_is_not_being_signed_by_it() {
    let (real, imposter) = (authority(), Gate::new(TlsVersion::Tls13));
    let fingerprint = real.fingerprint();
    let mut shown = server_certificate(&imposter.authority);
    shown.chain = vec![shown.chain[0].clone(), real.certificate().clone()];
    imposter.keys.replace(shown).unwrap();
    assert!(connect(&imposter, config(GateTrust::Fingerprint(&fingerprint))).is_err());
    // Nor does a client's certificate of the real authority make a gate.
    let client = Client::of(&real);
    let key = PrivateKeyDer::from_pem_slice(client.key.key_pem().expose().as_bytes()).unwrap();
    let mut shown = server_certificate(&imposter.authority);
    shown.chain = vec![client.der(), real.certificate().clone()];
    shown.key = key;
    imposter.keys.replace(shown).unwrap();
    assert!(connect(&imposter, config(GateTrust::Fingerprint(&fingerprint))).is_err());
}

#[test]
fn a_pinned_gate_must_still_have_the_right_name_and_time() {
    let gate = Gate::new(TlsVersion::Tls13);
    let fingerprint = gate.authority.fingerprint();
    let other_name = ["other.example".to_owned()];
    let issue = |gate: &Gate, names: &[String]| {
        Authority::issue_server(&gate.authority, names, NOW, Ttl::from_secs(86_400))
    };
    gate.keys
        .replace(issue(&gate, &other_name).unwrap())
        .unwrap();
    assert!(connect(&gate, config(GateTrust::Fingerprint(&fingerprint))).is_err());
    gate.keys
        .replace(server_certificate(&gate.authority))
        .unwrap();
    let late = at(NOW.plus(Ttl::from_secs(86_401)));
    let late = client_tls(GateTrust::Fingerprint(&fingerprint), None, late).unwrap();
    assert!(connect(&gate, Arc::new(late)).is_err());
    assert!(connect(&gate, config(GateTrust::Fingerprint(&fingerprint))).is_ok());
}

#[test]
fn a_client_shows_its_certificate() {
    let gate = Gate::new(TlsVersion::Tls13);
    let client = Client::of(&gate.authority);
    let (pem, key) = (gate.authority.pem(), client.key.key_pem());
    let pair = ClientPair {
        certificate: &client.issued.certificate_pem,
        key: &key,
    };
    let config = client_tls(GateTrust::Authority(&pem), Some(pair), at(NOW)).unwrap();
    let (_, server) = connect(&gate, Arc::new(config)).unwrap();
    assert_eq!(server.peer_certificates().unwrap()[0], client.der());
}

#[test]
fn what_is_no_trust_is_refused() {
    let authority = authority();
    let two = authority.pem() + &authority.pem();
    for bad in ["", "x", two.as_str()] {
        assert!(client_tls(GateTrust::Authority(bad), None, at(NOW)).is_err());
    }
    let upper = authority.fingerprint().to_uppercase();
    for bad in ["", "00", &"g".repeat(64), upper.as_str()] {
        assert!(
            client_tls(GateTrust::Fingerprint(bad), None, at(NOW)).is_err(),
            "{bad}"
        );
    }
}
