//! Stage 3, Continuous Verification.

use crate::catalog::Control;
use crate::facts::{Facts, Gives as _, Who};
use crate::verdict::Severity::{Critical, High, Medium};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Verdict, undecided};
use serde_json::Value;

use super::{access, admission, audit_policy, drills, gate, traffic};

pub(super) const CONTROLS: &[Control] = &[
    Control {
        id: "S3-01",
        gate: true,
        severity: Critical,
        title: "A policy engine refuses",
        requires: "a bound policy with Deny, Kyverno or Gatekeeper enforcing, or a validating webhook sees workloads",
        why: "whoever may create a pod may create any pod",
        remedy: "ValidatingAdmissionPolicies",
        maps: &["CIS 5.2.1", "OWASP K04"],
        check: admission::engine,
    },
    Control {
        id: "S3-02",
        gate: true,
        severity: High,
        title: "Pod security is enforced everywhere",
        requires: "every namespace of people enforces baseline or restricted",
        why: "a privileged pod is its node",
        remedy: "label the namespaces",
        maps: &["CIS 5.2.2"],
        check: admission::pod_security,
    },
    Control {
        id: "S3-03",
        gate: true,
        severity: Critical,
        title: "Checks fail closed",
        requires: "failurePolicy Fail, at most 10 s",
        why: "whoever stops the webhook passes it",
        remedy: "failurePolicy: Fail, two replicas",
        maps: &["OWASP K04"],
        check: admission::fail_closed,
    },
    Control {
        id: "S3-04",
        gate: false,
        severity: High,
        title: "Checks cannot be passed by",
        requires: "no exemption by a label that people can set",
        why: "a label turns the check off",
        remedy: "select by kubernetes.io/metadata.name",
        maps: &["OWASP K04"],
        check: admission::exemptions,
    },
    Control {
        id: "S3-05",
        gate: true,
        severity: High,
        title: "exec and its like are judged",
        requires: "a rule or a gate sees CONNECT",
        why: "the strongest requests pass admission unseen",
        remedy: "a gate, or a policy on CONNECT",
        maps: &["MS M9010", "ATT&CK T1609"],
        check: admission::connect,
    },
    Control {
        id: "S3-06",
        gate: false,
        severity: High,
        title: "Deletes are judged",
        requires: "a rule or a gate sees DELETE of what cannot be brought back",
        why: "one command empties the cluster",
        remedy: "a gate, or a policy on DELETE",
        maps: &["MS TA9038", "ATT&CK T1485"],
        check: admission::delete,
    },
    Control {
        id: "S3-07",
        gate: false,
        severity: High,
        title: "Changes of roles are judged",
        requires: "a rule sees creates and updates of roles and bindings",
        why: "an administrator's slip is for ever",
        remedy: "a policy on rbac.authorization.k8s.io",
        maps: &["ATT&CK T1098.006"],
        check: admission::rbac_writes,
    },
    Control {
        id: "S3-08",
        gate: true,
        severity: Critical,
        title: "Each request is decided on its own",
        requires: "a gate before the cluster, or a webhook authorizer that denies when it fails and caches 10 s at most",
        why: "what was true at login decides all day",
        remedy: "kubestile up",
        maps: &["NIST 800-207 tenets 3 4 6", "CISA Access"],
        check: decision_point,
    },
    Control {
        id: "S3-09",
        gate: true,
        severity: Critical,
        title: "The gate cannot be passed by",
        requires: "every request of a person comes through the gate, and the API server's port is closed to the rest",
        why: "all that the gate does is optional",
        remedy: "a firewall, and a deny rule",
        maps: &["NIST 800-207 PEP"],
        check: traffic::past_the_gate,
    },
    Control {
        id: "S3-10",
        gate: false,
        severity: High,
        title: "The gate's impersonation is constrained",
        requires: "impersonate:user-info instead of impersonate, and no system: groups",
        why: "a stolen gate credential is everybody",
        remedy: "kubestile cluster add, on 1.36",
        maps: &["KEP-5284"],
        check: constrained,
    },
    Control {
        id: "S3-11",
        gate: false,
        severity: High,
        title: "Decisions see real-time context",
        requires: "policies use three of: acr, device, network, time, ticket, risk",
        why: "a stolen session looks like its owner",
        remedy: "a policy pack",
        maps: &["CISA Risk"],
        check: |facts| gate::by(facts, gate::context),
    },
    Control {
        id: "S3-12",
        gate: true,
        severity: Critical,
        title: "The audit policy covers what matters",
        requires: "each of 40 requests is written at the level it needs, by the first rule that matches",
        why: "what matters most is missing from the log",
        remedy: "a generated policy",
        maps: &["CIS 3.2.2"],
        check: audit_policy::covers,
    },
    Control {
        id: "S3-13",
        gate: true,
        severity: High,
        title: "The audit log leaves the node",
        requires: "a webhook or shipper, kept for 30 days",
        why: "who has the node has the log",
        remedy: "a sink",
        maps: &["CIS 1.2.17", "MS M9020", "NSA audit"],
        check: audit_policy::leaves_the_node,
    },
    Control {
        id: "S3-14",
        gate: true,
        severity: High,
        title: "The log cannot be altered",
        requires: "a Merkle tree or write-once store, verified",
        why: "evidence that could be false is none",
        remedy: "the gate's log: kubestile audit verify",
        maps: &["OWASP K10"],
        check: tamper_evident,
    },
    Control {
        id: "S3-15",
        gate: false,
        severity: High,
        title: "The log has no gaps",
        requires: "every person's request in the audit log is in the gate's log",
        why: "what is missing is what matters",
        remedy: "join them by Audit-ID",
        maps: &["OWASP K10", "CISA Visibility"],
        check: traffic::gaps,
    },
    Control {
        id: "S3-16",
        gate: false,
        severity: Medium,
        title: "Every kubectl command is logged",
        requires: "99 % of kubectl's requests carry a Kubectl-Session",
        why: "single requests do not tell a story",
        remedy: "pass the header on",
        maps: &["model text"],
        check: |facts| gate::by(facts, gate::invocations),
    },
    Control {
        id: "S3-17",
        gate: false,
        severity: High,
        title: "Sessions in pods are recorded",
        requires: "recordings of exec, with secrets hidden",
        why: "what was typed is not known",
        remedy: "a recorder",
        maps: &["ATT&CK T1609"],
        check: |facts| gate::by(facts, gate::recordings),
    },
    Control {
        id: "S3-18",
        gate: false,
        severity: Medium,
        title: "What checks is protected",
        requires: "only the platform's own group writes policies and webhooks",
        why: "the check is the first thing to be switched off",
        remedy: "static manifests (1.37), few writers",
        maps: &["MS TA9015"],
        check: access::admission_writers,
    },
    Control {
        id: "S3-19",
        gate: true,
        severity: High,
        title: "Open streams are judged again",
        requires: "watch, exec and port-forward end within 60 s of losing their right",
        why: "a shell outlives the session",
        remedy: "a gate",
        maps: &["NIST 800-207 tenet 6"],
        check: |facts| gate::by(facts, gate::streams),
    },
    Control {
        id: "S3-20",
        gate: false,
        severity: High,
        title: "Detections were tried",
        requires: "known attack techniques were run, and raised an alarm",
        why: "nobody knows whether the alarm works",
        remedy: "run them",
        maps: &["MITRE ATT&CK"],
        check: drills::detections,
    },
];

/// S3-08
fn decision_point(facts: &Facts<'_>) -> Judged {
    if let Ok(gate) = facts.gate() {
        let text = "the gate decides each request that comes through it";
        return Ok(gate::vouched(gate, Verdict::pass(text).sure(80)));
    }
    // Without the file there is no webhook authorizer but the legacy one, which caches for minutes.
    let file = match facts.api_server()?.value("authorization-config") {
        Some(_) => Some(facts.snapshot.control_plane.authorization.get()?),
        None => None,
    };
    let list = file.and_then(|f| f.content.get("authorizers")?.as_array());
    // One behind RBAC is not asked about what RBAC allows.
    let kind = |a: &&Value| a.get("type").and_then(Value::as_str) != Some("RBAC");
    let before = list.into_iter().flatten().take_while(kind);
    let webhooks = before.filter_map(|a| a.get("webhook"));
    let sound = |w: &Value| {
        let text = |name: &str| w.get(name).and_then(Value::as_str);
        let cached = w.get("cacheAuthorizedRequests").and_then(Value::as_bool) != Some(false);
        let short = |t: &str| {
            t.strip_suffix('s')
                .and_then(|n| n.parse::<u32>().ok())
                .is_some_and(|n| n <= 10)
        };
        text("failurePolicy") == Some("Deny")
            && (!cached || text("authorizedTTL").is_some_and(short))
            && w.get("matchConditions").is_none()
    };
    if webhooks.clone().any(sound) {
        return Ok(Verdict::pass("a webhook authorizer decides each request").sure(80));
    }
    Ok(Verdict::fail("nothing decides each request on its own")
        .seen(Evidence::named(
            Class::Gate,
            "this cluster",
            "",
            "no gate is known to serve it, and no webhook authorizer is",
        ))
        .sure(80)
        .mend(|| {
            Fix::changes(
                "put a gate before the cluster",
                vec![Change::Command("kubestile up".to_owned())],
            )
        }))
}

/// S3-10
fn constrained(facts: &Facts<'_>) -> Judged {
    let grants = facts
        .grants()?
        .iter()
        .filter(|g| g.who == Who::Gate && g.subject.kind == "ServiceAccount");
    let grants: Vec<_> = grants.collect();
    if grants.is_empty() {
        return undecided("no gate has an account in this cluster");
    }
    let blanket = grants
        .iter()
        .filter(|g| g.rules().iter().any(|r| r.has_verb("impersonate")))
        .map(|g| g.evidence("it may impersonate without constraint"));
    Ok(Verdict::of(
        blanket.collect(),
        "the gate's account holds constrained impersonation only",
        |_| "the gate's account may impersonate without constraint".to_owned(),
    )
    .mend(|| {
        Fix::changes(
            "from Kubernetes 1.36 on, install the account again",
            vec![Change::Command("kubestile cluster add NAME".to_owned())],
        )
    }))
}

/// S3-14
fn tamper_evident(facts: &Facts<'_>) -> Judged {
    let gate = facts.gate()?;
    let Some(log) = &gate.log else {
        return undecided("the gate's log was not verified");
    };
    let seen = Evidence::named(
        Class::Gate,
        "the gate's log",
        "",
        match log.checkpoint_age {
            Some(age) => format!("{} records, the latest checkpoint {age} s old", log.size),
            None => format!("{} records", log.size),
        },
    );
    Ok(match (log.verified, &log.problem) {
        (true, _) => Verdict::pass("every record of the gate's log was verified").seen(seen),
        (false, problem) => Verdict::fail("the gate's log does not verify")
            .seen(Evidence {
                text: problem.clone().unwrap_or_default(),
                ..seen
            })
            .mend(|| {
                Fix::changes(
                    "keep the directory as it is, and find out who changed it",
                    vec![Change::Command("kubestile audit verify".to_owned())],
                )
            }),
    })
}
