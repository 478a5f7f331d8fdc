//! The cluster's certificate authorities, keys and certificates.
//!
//! Three authorities, as kubeadm has them: one for the cluster, one for etcd, one for
//! the aggregation layer's headers. With a single one, any client certificate of the
//! cluster would open etcd.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use crate::error::{Error, IoContext as _};
use crate::layout::Layout;

/// Writes everything below `pki/`. Called once per cluster, before it starts.
pub(crate) fn write(layout: &Layout, node: &str, now: OffsetDateTime) -> Result<(), Error> {
    let local = ["127.0.0.1", "localhost"];
    let api_server: Vec<&str> = local
        .into_iter()
        .chain(["kubernetes", "kubernetes.default", "kubernetes.default.svc"])
        .chain([
            "kubernetes.default.svc.cluster.local",
            crate::config::SERVICE_ADDRESS,
        ])
        .collect();
    let node_user = format!("system:node:{node}");

    let cluster = Authority::create(layout, "ca", "kubestile-devcluster", now)?;
    cluster.serving("apiserver", "kube-apiserver", &api_server)?;
    cluster.client("admin", "kubernetes-admin", Some("system:masters"))?;
    cluster.client("controller-manager", "system:kube-controller-manager", None)?;
    cluster.client("scheduler", "system:kube-scheduler", None)?;
    cluster.client(
        "apiserver-kubelet-client",
        crate::config::KUBELET_CLIENT,
        None,
    )?;
    cluster.client("kubelet", &node_user, Some("system:nodes"))?;
    cluster.serving(
        "kubelet-server",
        node,
        &[local.as_slice(), &[node]].concat(),
    )?;

    let etcd = Authority::create(layout, "etcd-ca", "kubestile-devcluster-etcd", now)?;
    etcd.serving("etcd", "etcd", &local)?;
    etcd.client("apiserver-etcd-client", "kube-apiserver-etcd-client", None)?;

    let front = Authority::create(layout, "front-proxy-ca", "kubestile-devcluster-front", now)?;
    front.client(
        "front-proxy-client",
        crate::config::FRONT_PROXY_CLIENT,
        None,
    )?;

    let accounts = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write_secret(&layout.pki("sa.key"), &accounts.serialize_pem())?;
    write_secret(&layout.pki("sa.pub"), &accounts.public_key_pem())
}

struct Authority<'a> {
    layout: &'a Layout,
    issuer: Issuer<'static, KeyPair>,
    now: OffsetDateTime,
}

impl<'a> Authority<'a> {
    fn create(
        layout: &'a Layout,
        file: &str,
        common_name: &str,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let mut params = params(common_name, None, &[], now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        store(layout, file, &params.self_signed(&key)?, &key)?;
        Ok(Self {
            layout,
            issuer: Issuer::new(params, key),
            now,
        })
    }

    /// A certificate to be recognised by its organization (a group) and common name (a user).
    fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<(), Error> {
        let params = params(user, group, &[], self.now)?;
        self.issue(file, params, vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A certificate to serve with. etcd also speaks to itself with it.
    fn serving(&self, file: &str, common_name: &str, names: &[&str]) -> Result<(), Error> {
        let params = params(common_name, None, names, self.now)?;
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.issue(file, params, usages)
    }

    fn issue(
        &self,
        file: &str,
        mut params: CertificateParams,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<(), Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        store(
            self.layout,
            file,
            &params.signed_by(&key, &self.issuer)?,
            &key,
        )
    }
}

fn params(
    common_name: &str,
    organization: Option<&str>,
    names: &[&str],
    now: OffsetDateTime,
) -> Result<CertificateParams, Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(365);
    Ok(params)
}

fn store(layout: &Layout, file: &str, cert: &Certificate, key: &KeyPair) -> Result<(), Error> {
    write_secret(&layout.pki(&format!("{file}.crt")), &cert.pem())?;
    write_secret(&layout.pki(&format!("{file}.key")), &key.serialize_pem())
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .on("write", path)
}
