use rcgen::CustomExtension;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::*;
use crate::ClientKey;
use crate::tests::{Client, HOUR, NOW, authority, der, session_id};

fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).unwrap().1
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let sans = certificate.subject_alternative_name().unwrap().unwrap();
    let names = sans.value.general_names.iter();
    names.map(|name| format!("{name:?}")).collect()
}

#[test]
fn an_authority_signs_certificates_and_makes_no_other_authority() {
    let authority = authority();
    let certificate = parse(authority.certificate());
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    assert_eq!(authority.not_after(), NOW.plus(AUTHORITY_TTL));
    assert_eq!(
        certificate.validity().not_before.timestamp(),
        NOW.as_secs() - 3600
    );
    certificate.verify_signature(None).unwrap();
}

#[test]
fn a_stored_authority_is_the_same_authority() {
    let made = authority();
    let taken_up = Authority::load(&made.pem(), &made.key_pem()).unwrap();
    assert_eq!(taken_up.pem(), made.pem());
    assert_eq!(taken_up.fingerprint(), made.fingerprint());
    let client = Client::of(&taken_up);
    assert!(made.read_client(&client.der()).is_ok());
    assert!(!format!("{made:?} {:?}", made.key_pem()).contains("PRIVATE"));
}

#[test]
fn what_is_not_an_authority_is_not_taken_up() {
    let (ours, other) = (authority(), authority());
    let load = |pem: &str, key: &Secret<String>| Authority::load(pem, key).unwrap_err();
    assert_eq!(
        load(&ours.pem(), &other.key_pem()),
        AuthorityError::KeyMismatch
    );
    assert_eq!(load("", &ours.key_pem()), AuthorityError::Certificate);
    let two = format!("{}{}", ours.pem(), other.pem());
    assert_eq!(load(&two, &ours.key_pem()), AuthorityError::Certificate);
    let not_a_key = Secret::new("x".to_owned());
    assert_eq!(load(&ours.pem(), &not_a_key), AuthorityError::Key);
    let client = Client::of(&ours);
    let error = load(&client.issued.certificate_pem, &client.key.key_pem());
    assert_eq!(error, AuthorityError::NotAnAuthority);
}

#[test]
fn a_server_certificate_has_the_names_asked_for_and_is_for_servers_only() {
    let authority = authority();
    let sans = [
        "Gate.Example".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let server = authority.issue_server(&sans, NOW, HOUR).unwrap();
    let certificate = parse(&server.chain[0]);
    assert_eq!(
        names(&certificate),
        [
            "DNSName(\"gate.example\")",
            "IPAddress([127, 0, 0, 1])",
            "IPAddress([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])"
        ]
    );
    let purpose = certificate.extended_key_usage().unwrap().unwrap();
    assert!(purpose.value.server_auth && !purpose.value.client_auth);
    assert!(!certificate.is_ca());
    assert_eq!(server.not_after, NOW.plus(HOUR));
    assert_eq!(&server.chain[1], authority.certificate());
    let refused = authority.read_client(&server.chain[0]);
    assert_eq!(refused, Err(AuthnError::ForeignCertificate));
}

#[test]
fn a_server_certificate_needs_real_names() {
    let authority = authority();
    let issue = |sans: &[&str]| {
        let sans: Vec<String> = sans.iter().map(|s| (*s).to_owned()).collect();
        authority.issue_server(&sans, NOW, HOUR).unwrap_err()
    };
    assert_eq!(issue(&[]), AuthorityError::Names);
    assert_eq!(issue(&["a"; 65]), AuthorityError::Names);
    for bad in ["*.example", "a b", "https://a", "a/b", "", "é"] {
        assert_eq!(
            issue(&["ok.example", bad]),
            AuthorityError::BadName(bad.to_owned())
        );
    }
}

#[test]
fn a_client_certificate_holds_what_we_say() {
    let authority = authority();
    let client = Client::of(&authority);
    let der = client.der();
    let certificate = parse(&der);
    assert_eq!(certificate.subject().to_string(), "CN=ana@example.com");
    let uri = "URI(\"kubestile://session/00000000-0000-0000-0000-000000000001\")";
    assert_eq!(names(&certificate), [uri]);
    let purpose = certificate.extended_key_usage().unwrap().unwrap();
    assert!(purpose.value.client_auth && !purpose.value.server_auth && !purpose.value.any);
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.value.digital_signature() && !usage.value.key_cert_sign());
    assert!(!certificate.is_ca());
    assert_eq!(
        certificate.validity().not_before.timestamp(),
        NOW.as_secs() - 60
    );
    assert_eq!(
        certificate.validity().not_after.timestamp(),
        NOW.as_secs() + 3600
    );
    assert!(certificate.raw_serial().len() == 16 && certificate.raw_serial()[0] < 0x80);
    let other = Client::of(&authority);
    assert_ne!(parse(&other.der()).raw_serial(), certificate.raw_serial());
}

/// Everything a hostile client could ask for, in one request.
#[test]
fn nothing_but_the_key_of_a_request_gets_into_a_certificate() {
    let key = KeyPair::generate().unwrap();
    let mut wish = CertificateParams::default();
    wish.distinguished_name = DistinguishedName::new();
    wish.distinguished_name.push(DnType::CommonName, "root");
    wish.distinguished_name
        .push(DnType::OrganizationName, "system:masters");
    let uri = format!("{SESSION_URI}{}", session_id(99));
    wish.subject_alt_names = vec![
        SanType::URI(uri.try_into().unwrap()),
        SanType::DnsName("gate.example".try_into().unwrap()),
        SanType::Rfc822Name("root@example.com".try_into().unwrap()),
    ];
    wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wish.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    wish.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::Any,
    ];
    // Also an extension that nobody knows, marked critical.
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    unknown.set_criticality(true);
    wish.custom_extensions = vec![unknown];
    let csr = wish.serialize_request(&key).unwrap().pem().unwrap();

    let request = CertificateRequest::read(&csr).unwrap();
    let issued = authority()
        .issue_client(
            &request,
            "ana@example.com",
            session_id(1),
            NOW,
            NOW.plus(HOUR),
        )
        .unwrap();

    let der = der(&issued.certificate_pem);
    let certificate = parse(&der);
    assert_eq!(certificate.subject().to_string(), "CN=ana@example.com");
    let sans = certificate.subject_alternative_name().unwrap().unwrap();
    let [GeneralName::URI(uri)] = sans.value.general_names.as_slice() else {
        panic!("{sans:?}");
    };
    assert!(uri.ends_with(&session_id(1).to_string()));
    assert!(!certificate.is_ca());
    let known = |e: &x509_parser::extensions::X509Extension<'_>| {
        !matches!(
            e.parsed_extension(),
            ParsedExtension::UnsupportedExtension { .. }
        )
    };
    assert!(certificate.iter_extensions().all(known));
    assert_eq!(
        certificate.extensions().len(),
        6,
        "AKI, SAN, KU, EKU, SKI, basic constraints"
    );
    let read = ClientCertificate::read(&der).unwrap();
    assert_eq!(read.session, session_id(1));
    assert_eq!(read.key_digest, issued.key_digest);
}

#[test]
fn a_client_certificate_ends_no_later_than_asked_and_than_the_authority() {
    let authority = authority();
    let request = CertificateRequest::read(&ClientKey::generate().unwrap().csr_pem().unwrap());
    let request = request.unwrap();
    let issue = |now, until| authority.issue_client(&request, "ana", session_id(1), now, until);
    let odd = Timestamp::from_micros(NOW.as_micros() + 1_999_999);
    assert_eq!(
        issue(NOW, odd).unwrap().not_after,
        NOW.plus(Ttl::from_secs(1))
    );
    assert_eq!(issue(NOW, NOW).unwrap_err(), AuthorityError::OutOfTime);
    let end = authority.not_after();
    let late = Timestamp::from_secs(end.as_secs() - 60);
    assert_eq!(issue(late, late.plus(HOUR)).unwrap().not_after, end);
    assert_eq!(
        issue(end, end.plus(HOUR)).unwrap_err(),
        AuthorityError::OutOfTime
    );
    let far = Timestamp::from_micros(i64::MAX);
    assert_eq!(issue(NOW, far).unwrap().not_after, end);
    let system =
        authority.issue_client(&request, "system:admin", session_id(1), NOW, NOW.plus(HOUR));
    assert!(matches!(system, Err(AuthorityError::Person(_))));
}

#[test]
fn a_certificate_of_another_authority_is_foreign() {
    let client = Client::of(&authority());
    assert!(
        ClientCertificate::read(&client.der()).is_ok(),
        "its form is fine"
    );
    let foreign = authority().read_client(&client.der());
    assert_eq!(foreign, Err(AuthnError::ForeignCertificate));
}

/// The other authority copies our name and key identifier, but has not our key.
#[test]
fn an_authority_that_calls_itself_ours_is_foreign() {
    let ours = authority();
    let stolen_name = Issuer::from_ca_cert_der(ours.certificate(), KeyPair::generate().unwrap());
    let imposter = Authority {
        issuer: stolen_name.unwrap(),
        certificate: ours.certificate().clone(),
        not_after: ours.not_after(),
    };
    let client = Client::of(&imposter);
    assert_eq!(
        ours.read_client(&client.der()),
        Err(AuthnError::ForeignCertificate)
    );
}
