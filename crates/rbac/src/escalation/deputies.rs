//! Operators that act on what custom resources say, with rights of their own.

use super::needs::Need;

const WRITE: &[&str] = &["create", "update", "patch"];

/// Who acts when one of the resources is written.
pub(super) struct Deputy {
    pub(super) write: Need,
    /// The operator's usual service account: namespace and name.
    pub(super) account: (&'static str, &'static str),
}

const fn deputy(
    on: &'static [(&'static str, &'static str)],
    namespace: &'static str,
    name: &'static str,
) -> Deputy {
    Deputy {
        write: Need {
            says: "write what an operator acts on",
            verbs: WRITE,
            on,
        },
        account: (namespace, name),
    }
}

/// Those that apply manifests or run code that the resource names. A step is drawn only where the account
/// is bound to something.
pub(super) const DEPUTIES: &[Deputy] = &[
    deputy(
        &[("kustomize.toolkit.fluxcd.io", "kustomizations")],
        "flux-system",
        "kustomize-controller",
    ),
    deputy(
        &[("helm.toolkit.fluxcd.io", "helmreleases")],
        "flux-system",
        "helm-controller",
    ),
    deputy(
        &[
            ("argoproj.io", "applications"),
            ("argoproj.io", "applicationsets"),
        ],
        "argocd",
        "argocd-application-controller",
    ),
    deputy(
        &[
            ("kyverno.io", "clusterpolicies"),
            ("kyverno.io", "policies"),
        ],
        "kyverno",
        "kyverno-background-controller",
    ),
    deputy(&[("velero.io", "restores")], "velero", "velero"),
    deputy(
        &[("apiextensions.crossplane.io", "compositions")],
        "crossplane-system",
        "crossplane",
    ),
    deputy(
        &[
            ("operators.coreos.com", "subscriptions"),
            ("operators.coreos.com", "clusterserviceversions"),
        ],
        "olm",
        "olm-operator-serviceaccount",
    ),
];
