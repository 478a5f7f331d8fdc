use super::*;

#[test]
fn a_request_says_which_names_it_asks_for() {
    use base64::Engine as _;
    let mut params = rcgen::CertificateParams::default();
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, "system:kube-controller-manager");
    name.push(rcgen::DnType::OrganizationName, "ops");
    params.distinguished_name = name;
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(pem);
    let item = serde_json::json!({
        "metadata": { "name": "x" },
        "spec": { "signerName": "kubernetes.io/kube-apiserver-client", "username": "ana", "request": request },
        "status": { "conditions": [{ "type": "Approved" }] },
    });
    let csr = csr(&item);
    assert_eq!(
        csr.spec.common_name.as_deref(),
        Some("system:kube-controller-manager")
    );
    assert_eq!(csr.spec.organizations, ["ops"]);
    assert_eq!(csr.status.conditions.len(), 1);
}

#[test]
fn what_is_forbidden_says_how_to_be_allowed() {
    let error = CallError::Refused {
        status: 403,
        call: "GET /x".to_owned(),
        message: "no".to_owned(),
    };
    let source: Source<()> = absent(&error, "list roles");
    let absence = source.get().unwrap_err();
    assert_eq!(absence.why, Why::Forbidden);
    assert!(
        absence.text.contains("--show-permissions"),
        "{}",
        absence.text
    );
}

#[test]
fn of_a_secret_only_metadata_is_kept() {
    let item = serde_json::json!({
        "metadata": {
            "name": "t", "namespace": "shop", "labels": { "kubernetes.io/legacy-token-last-used": "2026-01-01" },
            "annotations": {
                "kubernetes.io/service-account.name": "bot",
                "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"token\":\"c2VjcmV0\"}}",
            },
        },
        "data": { "token": "c2VjcmV0" },
    });
    let secret = secret("kubernetes.io/service-account-token", &item);
    let saved = serde_json::to_string(&secret).unwrap();
    assert!(!saved.contains("c2VjcmV0"), "{saved}");
    assert_eq!(secret.account.as_deref(), Some("bot"));
}
