//! The way into a cluster for the day on which the gate is dead.
//!
//! What is sealed is a client certificate of [`Seal::user`]. That user may do one thing: have the cluster's own
//! signer `kubernetes.io/kube-apiserver-client` (Kubernetes, "Certificate Signing Requests") make
//! certificates. Opening asks it for a short-lived one of a person in [`Seal::opened`], a group that is bound
//! to `cluster-admin`. Whom a certificate is for, no rule of Kubernetes can limit, `system:masters` apart; an
//! admission policy limits it to the seal's own requests and to [`LONGEST`]. So a seal that can be opened is
//! worth an administrator, and each use of it stands in the API server's log.
//!
//! A client certificate cannot be revoked. Therefore user and group have the seal's id in their names, and the
//! bindings name those of one seal: with the next one, whatever the one before gave gives nothing any more.
//! No name begins with `kubestile:`, so that the gate's account cannot act as them.

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

/// The ClusterRoleBinding that makes those who opened the seal administrators.
pub const BINDING: &str = "kubestile-break-glass";
/// The longest life of a certificate that the sealed user may ask for.
pub const LONGEST: Ttl = Ttl::from_secs(8 * 3600);
/// On [`BINDING`]: when the way in was last tried from end to end.
pub const DRILLED: &str = "kubestile.dev/break-glass-drilled";

const SEAL_ROLE: &str = "kubestile-break-glass-seal";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
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

/// One sealed way in, by the id in its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal(String);

impl Seal {
    /// The seal of an id: 8 to 64 lower-case hexadecimal digits.
    pub fn new(id: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = (8..=64).contains(&id.len()) && id.bytes().all(digit);
        fits.then(|| Self(id.to_owned()))
    }

    /// The user whose certificate is sealed; the group of that user has the same name.
    pub fn user(&self) -> String {
        format!("kubestile-break-glass:seal:{}", self.0)
    }

    /// The group of those who opened it.
    pub fn opened(&self) -> String {
        format!("kubestile-break-glass:opened:{}", self.0)
    }

    /// What is made in the cluster: what the sealed user may do, and what those may who open it.
    pub fn objects(&self) -> Vec<Value> {
        let group = ["certificates.k8s.io"];
        let rules = json!([
            { "apiGroups": group, "resources": ["certificatesigningrequests"], "verbs": ["create", "get"] },
            { "apiGroups": group, "resources": ["certificatesigningrequests/approval"], "verbs": ["update"] },
            { "apiGroups": group, "resources": ["signers"], "resourceNames": [SIGNER], "verbs": ["approve"] },
        ]);
        vec![
            object("rbac", "ClusterRole", SEAL_ROLE, "rules", rules),
            binding(SEAL_ROLE, SEAL_ROLE, "User", &self.user()),
            binding(BINDING, "cluster-admin", "Group", &self.opened()),
        ]
    }
}

/// The policy that limits what the sealed user may have signed, and its binding.
fn limits() -> [Value; 2] {
    let rule = |operation: &str, resource: &str| {
        json!({
            "apiGroups": ["certificates.k8s.io"], "apiVersions": ["*"],
            "operations": [operation], "resources": [resource],
        })
    };
    let says =
        |expression: String, message: &str| json!({ "expression": expression, "message": message });
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": { "resourceRules": [
            rule("CREATE", "certificatesigningrequests"),
            rule("UPDATE", "certificatesigningrequests/approval"),
        ]},
        "matchConditions": [{
            "name": "sealed",
            "expression": "request.userInfo.username.startsWith('kubestile-break-glass:seal:')",
        }],
        "validations": [
            says(
                format!(
                    "has(object.spec.expirationSeconds) && object.spec.expirationSeconds <= {}",
                    LONGEST.as_secs()
                ),
                "a sealed way in gives certificates of 8 hours at most",
            ),
            says(
                "request.operation == 'CREATE' || object.spec.username == request.userInfo.username".to_owned(),
                "a sealed way in has its own requests signed only",
            ),
        ],
    });
    let bound = json!({ "policyName": BINDING, "validationActions": ["Deny"] });
    [
        object(
            "admission",
            "ValidatingAdmissionPolicy",
            BINDING,
            "spec",
            spec,
        ),
        object(
            "admission",
            "ValidatingAdmissionPolicyBinding",
            BINDING,
            "spec",
            bound,
        ),
    ]
}

fn object(api: &str, kind: &str, name: &str, field: &str, value: Value) -> Value {
    let group = match api {
        "rbac" => "rbac.authorization.k8s.io/v1",
        _ => "admissionregistration.k8s.io/v1",
    };
    json!({
        "apiVersion": group, "kind": kind,
        "metadata": { "name": name, "labels": { "app.kubernetes.io/managed-by": "kubestile" } },
        field: value,
    })
}

fn binding(name: &str, role: &str, kind: &str, subject: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    let subjects = json!([{ "apiGroup": group, "kind": kind, "name": subject }]);
    let mut object = object("rbac", "ClusterRoleBinding", name, "subjects", subjects);
    if let Some(fields) = object.as_object_mut() {
        let role = json!({ "apiGroup": group, "kind": "ClusterRole", "name": role });
        fields.insert("roleRef".to_owned(), role);
    }
    object
}

fn path(object: &Value) -> String {
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let collection = match text("/kind") {
        "ClusterRole" => format!("{RBAC}/clusterroles"),
        "ClusterRoleBinding" => format!("{RBAC}/clusterrolebindings"),
        "ValidatingAdmissionPolicy" => format!("{ADMISSION}/validatingadmissionpolicies"),
        _ => format!("{ADMISSION}/validatingadmissionpolicybindings"),
    };
    format!("{collection}/{}", text("/metadata/name"))
}

/// Makes the objects of a seal in the place of those of the one before, by server-side apply. First what limits
/// it, then what it may do. Gives where the cluster is, and whether it has the limits: before Kubernetes 1.30 there
/// are no such policies.
///
/// # Errors
/// [`BreakGlassError::Call`]; [`BreakGlassError::NotVerified`] for a context that trusts anybody.
pub async fn install(admin: &Upstream, seal: &Seal) -> Result<(Place, bool), BreakGlassError> {
    let ca_pem = admin
        .inner
        .ca_pem()
        .map_err(|_| BreakGlassError::NotVerified)?;
    let mut limited = true;
    for object in limits() {
        match apply(admin, &object).await {
            Ok(()) => {}
            Err(error) if error.status() == Some(404) => limited = false,
            Err(error) => return Err(failed("make what limits the way in")(error)),
        }
    }
    for object in seal.objects() {
        let made = apply(admin, &object).await;
        made.map_err(failed("make what the way in needs"))?;
    }
    let place = Place {
        server: admin.server(),
        ca_pem,
        tls_server_name: admin.tls_server_name(),
    };
    Ok((place, limited))
}

async fn apply(admin: &Upstream, object: &Value) -> Result<(), CallError> {
    let path = format!("{}?fieldManager=kubestile&force=true", path(object));
    let made: Value = admin.request(&Call::apply(path, object)).await?;
    drop(made);
    Ok(())
}

/// Takes the objects away, what gives rights first: whatever was sealed or opened gives nothing from then on.
/// Gives what was there, as `kind/name`.
///
/// # Errors
/// [`BreakGlassError::Call`].
pub async fn remove(admin: &Upstream) -> Result<Vec<String>, BreakGlassError> {
    let mut removed = Vec::new();
    // Names of objects do not depend on the seal.
    let all = Seal(String::new()).objects().into_iter().rev();
    for object in all.chain(limits().into_iter().rev()) {
        let path = path(&object);
        let gone: Result<Value, CallError> =
            admin.request(&Call::delete(path.clone(), &json!({}))).await;
        match gone {
            Ok(_) => {
                let mut words = path.rsplit('/');
                if let (Some(name), Some(kind)) = (words.next(), words.next()) {
                    removed.push(format!("{kind}/{name}"));
                }
            }
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

/// A certificate that the cluster has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The certificate, PEM.
    pub pem: String,
    /// Its serial number, as OpenSSL writes it.
    pub serial: String,
    /// When it ends.
    pub ends: Timestamp,
}

/// Has the cluster sign a client certificate for a signing request, for `life` at most and not less than
/// ten minutes.
///
/// # Errors
/// [`BreakGlassError`].
pub async fn certify(
    as_whom: &Upstream,
    csr_pem: &str,
    life: Ttl,
) -> Result<Certified, BreakGlassError> {
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

fn read(encoded: &str) -> Result<Certified, BreakGlassError> {
    let unreadable = || BreakGlassError::Unreadable;
    let bytes = STANDARD.decode(encoded).map_err(|_| unreadable())?;
    let (_, pem) = parse_x509_pem(&bytes).map_err(|_| unreadable())?;
    let certificate = pem.parse_x509().map_err(|_| unreadable())?;
    let ends = Timestamp::from_secs(certificate.validity().not_after.timestamp());
    let serial = certificate.raw_serial_as_string();
    let pem = String::from_utf8(bytes).map_err(|_| unreadable())?;
    Ok(Certified { pem, serial, ends })
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
        let seal = Seal::new("0123456789abcdef").unwrap();
        let objects = seal.objects();
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
        assert_eq!(objects[1]["subjects"][0]["name"], seal.user());
        assert_eq!(objects[2]["subjects"][0]["name"], seal.opened());
        for name in [seal.user(), seal.opened()] {
            assert!(
                name.starts_with("kubestile-break-glass:") && name.ends_with("0123456789abcdef")
            );
        }
        let all: Vec<String> = objects.iter().chain(&limits()).map(path).collect();
        assert_eq!(all[2], format!("{RBAC}/clusterrolebindings/{BINDING}"));
        assert!(all[4].ends_with("/validatingadmissionpolicybindings/kubestile-break-glass"));
    }

    #[test]
    fn an_id_adds_nothing_to_a_name() {
        for id in [
            "",
            "0123456",
            "0123456g",
            "ABCDEF01",
            "01234567:x",
            "01234567\n",
        ] {
            assert_eq!(Seal::new(id), None, "{id:?}");
        }
    }
}
