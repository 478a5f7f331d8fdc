//! The way into a cluster for the day on which the gate is dead.
//!
//! What is sealed is a client certificate of [`SEAL`]. That user may do one thing: have the cluster's own
//! signer `kubernetes.io/kube-apiserver-client` (Kubernetes, "Certificate Signing Requests") make a
//! certificate. Opening asks it for a short-lived one of a person in [`OPENED`], a group that is bound to
//! `cluster-admin`. Neither name begins with `kubestile:`, so that the gate's account cannot act as them.
//! Whoever can open the seal is the cluster's administrator, then and only then: each opening stands in the
//! API server's log with a name, and in the cluster as a signing request.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubestile_core::secret::Secret;
use kubestile_core::time::{Timestamp, Ttl};
use serde_json::{Value, json};
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::error::{CallError, ClusterError};
use crate::source::{Authority, Identity, Pem, Source};
use crate::upstream::Upstream;

/// The user whose certificate is sealed.
pub const SEAL: &str = "kubestile-break-glass:seal";
/// The group of those who opened it.
pub const OPENED: &str = "kubestile-break-glass:opened";
/// The ClusterRoleBinding that makes [`OPENED`] administrators.
pub const BINDING: &str = "kubestile-break-glass";
/// On [`BINDING`]: when the way in was last tried from end to end.
pub const DRILLED: &str = "kubestile.dev/break-glass-drilled";

const SEAL_ROLE: &str = "kubestile-break-glass-seal";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// How long the cluster may take to sign.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// Where a cluster is, as somebody outside of the gate reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `https://host:port`, with a base path if the server has one.
    pub server: String,
    /// The server's certificate authorities in PEM; `None` for those that the system trusts.
    pub ca_pem: Option<String>,
    /// The name in the server's certificate, if it is not the host of `server`.
    pub tls_server_name: Option<String>,
}

/// Why a way in cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BreakGlassError {
    /// The API server refused, or did not answer.
    #[error("cannot {doing}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: CallError,
    },
    /// The context does not verify the server.
    #[error(
        "the context does not verify the server's certificate, so anybody could pose as the cluster: \
         take out insecure-skip-tls-verify"
    )]
    NotVerified,
    /// Nobody signs.
    #[error(
        "the cluster has signed no client certificate within a minute ({0}): its signer \
         `kubernetes.io/kube-apiserver-client` is off (Amazon EKS has none), and there is no such way in"
    )]
    NotSigned(String),
    /// What was signed is no certificate.
    #[error("what the cluster signed cannot be read as a certificate")]
    Unreadable,
}

/// What is made in the cluster: what the sealed user may do, and what those may who open it.
pub fn objects() -> Vec<Value> {
    let labels = json!({ "app.kubernetes.io/managed-by": "kubestile" });
    let binding = |name: &str, role: &str, kind: &str, subject: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": name, "labels": labels },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": subject }],
        })
    };
    let group = ["certificates.k8s.io"];
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": SEAL_ROLE, "labels": labels },
            "rules": [
                { "apiGroups": group, "resources": ["certificatesigningrequests"], "verbs": ["create", "get"] },
                { "apiGroups": group, "resources": ["certificatesigningrequests/approval"], "verbs": ["update"] },
                { "apiGroups": group, "resources": ["signers"], "resourceNames": [SIGNER], "verbs": ["approve"] },
            ],
        }),
        binding(SEAL_ROLE, SEAL_ROLE, "User", SEAL),
        binding(BINDING, "cluster-admin", "Group", OPENED),
    ]
}

fn path(object: &Value) -> String {
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let collection = match text("/kind") {
        "ClusterRole" => "clusterroles",
        _ => "clusterrolebindings",
    };
    format!("{RBAC}/{collection}/{}", text("/metadata/name"))
}

/// Makes the objects, by server-side apply; can be repeated.
///
/// # Errors
/// [`BreakGlassError::Call`]; [`BreakGlassError::NotVerified`] for a context that trusts anybody.
pub async fn install(admin: &Upstream) -> Result<Place, BreakGlassError> {
    let ca_pem = admin
        .inner
        .ca_pem()
        .map_err(|_| BreakGlassError::NotVerified)?;
    for object in objects() {
        let call = Call::apply(
            format!("{}?fieldManager=kubestile&force=true", path(&object)),
            &object,
        );
        let made: Result<Value, CallError> = admin.request(&call).await;
        made.map_err(failed("make what the way in needs"))?;
    }
    Ok(Place {
        server: admin.server(),
        ca_pem,
        tls_server_name: admin.tls_server_name(),
    })
}

/// Takes the objects away: nothing that was sealed or opened gives anything from then on. Gives what was
/// there.
///
/// # Errors
/// [`BreakGlassError::Call`].
pub async fn remove(admin: &Upstream) -> Result<Vec<String>, BreakGlassError> {
    let mut removed = Vec::new();
    for object in objects().iter().rev() {
        let path = path(object);
        let gone: Result<Value, CallError> =
            admin.request(&Call::delete(path.clone(), &json!({}))).await;
        match gone {
            Ok(_) => removed.push(
                path.rsplit('/')
                    .take(2)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect::<Vec<_>>()
                    .join("/"),
            ),
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(failed("take the way in away")(error)),
        }
    }
    Ok(removed)
}

/// Writes down in the cluster that the way in was tried.
///
/// # Errors
/// [`BreakGlassError::Call`].
pub async fn note_drill(opened: &Upstream, at: Timestamp) -> Result<(), BreakGlassError> {
    let note = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": BINDING, "annotations": { DRILLED: at.rfc3339() } },
    });
    // Another field manager: making the objects anew leaves it alone.
    let path =
        format!("{RBAC}/clusterrolebindings/{BINDING}?fieldManager=kubestile-drill&force=true");
    let noted: Result<Value, CallError> = opened.request(&Call::apply(path, &note)).await;
    noted
        .map(drop)
        .map_err(failed("write down that it was tried"))
}

/// Has the cluster sign a client certificate for a signing request, for `life` at most and not less than
/// ten minutes, and gives the certificate (PEM) and when it ends.
///
/// # Errors
/// [`BreakGlassError`].
pub async fn certify(
    as_whom: &Upstream,
    csr_pem: &str,
    life: Ttl,
) -> Result<(String, Timestamp), BreakGlassError> {
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": { "generateName": "kubestile-break-glass-" },
        "spec": {
            "request": STANDARD.encode(csr_pem),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
            "expirationSeconds": life.as_secs().max(600),
        },
    });
    let made: Value = as_whom
        .request(&Call::post(REQUESTS, &object))
        .await
        .map_err(failed("ask for a certificate"))?;
    let name = made.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.ok_or(BreakGlassError::Unreadable)?.to_owned();
    approve(as_whom, &name, made).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now: Value = as_whom
            .get_json(&format!("{REQUESTS}/{name}"))
            .await
            .map_err(failed("look at the certificate"))?;
        if let Some(encoded) = now.pointer("/status/certificate").and_then(Value::as_str) {
            return read(encoded);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(BreakGlassError::NotSigned(why(&now)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn approve(
    as_whom: &Upstream,
    name: &str,
    mut request: Value,
) -> Result<(), BreakGlassError> {
    let approved = json!([{
        "type": "Approved", "status": "True", "reason": "BreakGlass",
        "message": "a sealed way in was made or opened",
    }]);
    if let Some(request) = request.as_object_mut() {
        request.insert("status".to_owned(), json!({ "conditions": approved }));
    }
    let mut call = Call::post(format!("{REQUESTS}/{name}/approval"), &request);
    call.method = http::Method::PUT;
    let done: Result<Value, CallError> = as_whom.request(&call).await;
    done.map(drop).map_err(failed("approve the certificate"))
}

fn read(encoded: &str) -> Result<(String, Timestamp), BreakGlassError> {
    let unreadable = || BreakGlassError::Unreadable;
    let bytes = STANDARD.decode(encoded).map_err(|_| unreadable())?;
    let (_, pem) = parse_x509_pem(&bytes).map_err(|_| unreadable())?;
    let certificate = pem.parse_x509().map_err(|_| unreadable())?;
    let ends = Timestamp::from_secs(certificate.validity().not_after.timestamp());
    let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
    Ok((text, ends))
}

fn why(request: &Value) -> String {
    let conditions = request
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let words = conditions.into_iter().flatten().filter_map(|c| {
        let kind = c.get("type").and_then(Value::as_str)?;
        let message = c.get("message").and_then(Value::as_str).unwrap_or_default();
        Some(
            format!("{kind}: {message}")
                .chars()
                .take(200)
                .collect::<String>(),
        )
    });
    words.collect::<Vec<_>>().join("; ")
}

fn failed(doing: &'static str) -> impl Fn(CallError) -> BreakGlassError {
    move |source| BreakGlassError::Call { doing, source }
}

impl Upstream {
    /// The API server at a place, with a client certificate that is held in memory only.
    ///
    /// # Errors
    /// [`ClusterError`] if the address, the authority, the certificate or the key cannot be used.
    pub async fn with_certificate(
        place: &Place,
        certificate_pem: &str,
        key_pem: &Secret<String>,
    ) -> Result<Self, ClusterError> {
        let inline = |text: &str| Pem::Inline(Zeroizing::new(text.as_bytes().to_vec()));
        let source = Source {
            authority: match &place.ca_pem {
                Some(pem) => Authority::Pem(inline(pem)),
                None => Authority::System,
            },
            identity: Identity::Certificate {
                chain: inline(certificate_pem),
                key: inline(key_pem.expose()),
            },
        };
        let endpoint = Endpoint::parse(&place.server, place.tls_server_name.as_deref())?;
        Self::from_source(endpoint, source).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sealed_user_has_certificates_signed_and_does_nothing_else() {
        let objects = objects();
        let rules = objects[0]["rules"].as_array().unwrap();
        let resources: Vec<&str> = rules
            .iter()
            .map(|r| r["resources"][0].as_str().unwrap())
            .collect();
        assert_eq!(
            resources,
            [
                "certificatesigningrequests",
                "certificatesigningrequests/approval",
                "signers"
            ]
        );
        assert!(!objects.iter().any(|o| o.to_string().contains("\"*\"")));
        for name in [SEAL, OPENED] {
            assert!(!name.starts_with("kubestile:") && !name.starts_with("system:"));
        }
        let paths: Vec<String> = objects.iter().map(path).collect();
        assert_eq!(paths[2], format!("{RBAC}/clusterrolebindings/{BINDING}"));
    }
}
