use super::*;
use crate::base_sources;
use crate::decide::tests::{action, context, identity, question, set};

fn explain(set: &PolicySet, functions: &[&str], line: &str) -> Explanation {
    let (identity, action, context) = (identity(functions), action(line), context());
    set.explain(&question(&identity, &action, &context))
}

#[test]
fn an_explanation_reads_well_in_a_terminal() {
    let set = PolicySet::load(&base_sources()).unwrap();
    let text = explain(
        &set,
        &["operator:shop"],
        "kubectl delete deployment web -n shop",
    )
    .to_string();
    let head = "\
kubectl delete deployments.apps/web -n shop
  by ana (operator, viewer), action delete
  hold by delete-needs-approval; needs approval

matched:
  forbid delete-needs-approval  (base/delete-needs-approval.cedar:1)
    deleting anything but a pod needs the approval of a second person
  permit operator-deletes  (base/operator-deletes.cedar:1)
    the job function operator may delete workloads in its namespace

did not match, but could have:
";
    assert!(text.starts_with(head), "{text}");
    assert!(!text.contains("admin-manages-access"), "{text}");
}

#[test]
fn an_explanation_covers_whom_the_client_asks_to_be() {
    let set = PolicySet::load(&base_sources()).unwrap();
    let found = explain(
        &set,
        &["admin"],
        "kubectl get pods --as bob --as-group system:masters",
    );
    assert_eq!(found.decided_by, ["system-is-not-impersonated"]);
    let verdicts: Vec<(&str, Verdict)> = found
        .policies
        .iter()
        .filter(|p| p.verdict == Verdict::Matched)
        .map(|p| (p.id.as_str(), p.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("crown-jewels-need-two-approvals", Verdict::Matched),
            ("system-is-not-impersonated", Verdict::Matched),
            ("viewer-reads", Verdict::Matched)
        ]
    );
}

#[test]
fn a_denial_says_what_to_do_and_what_nearly_permitted_it() {
    let set = PolicySet::load(&base_sources()).unwrap();
    let found = explain(&set, &["operator:shop"], "kubectl create namespace extra");
    assert_eq!(
        (found.decision.as_str(), found.remedy.as_deref()),
        ("deny", None)
    );
    assert!(found.to_string().contains("no policy permits it"));
    let text = found.to_string();
    let others =
        "permits for others:\n  admin-manages-access: principal in JobFunction::\"admin\"\n";
    assert!(text.contains(others), "{text}");
    let found = explain(&set, &["operator:shop"], "kubectl exec a -n bank -- sh");
    assert!(
        found
            .remedy
            .unwrap()
            .contains("`operator` in namespace `bank`")
    );
    let permit = found
        .policies
        .iter()
        .find(|p| p.id == "operator-streams")
        .unwrap();
    assert_eq!(permit.verdict, Verdict::OtherScope);
}

#[test]
fn the_failed_condition_is_shown_and_only_the_first() {
    let set = set(
        r#"@id("a") @reason("a test permits") permit(principal, action, resource is Object)
           when { context.assurance == 3 && context.sessionAge > 100 && resource has name && resource.name == "x" };
           @id("b") @reason("a test forbids") forbid(principal, action, resource)
           unless { context.assurance >= 3 };
           @id("c") @reason("a test forbids") forbid(principal, action, resource)
           when { context.invocation.command == "kubectl get" };"#,
    );
    let found = explain(&set, &[], "kubectl get pods");
    let of = |id: &str| {
        let policy = found.policies.iter().find(|p| p.id == id).unwrap();
        (policy.verdict, policy.failed.join("; "))
    };
    assert_eq!(
        of("a"),
        (Verdict::Nearly, "when context.sessionAge > 100".to_owned())
    );
    assert_eq!(
        of("b"),
        (Verdict::Nearly, "unless context.assurance >= 3".to_owned())
    );
    assert_eq!(of("c").0, Verdict::Erred);
    assert_eq!(found.decided_by, ["evaluation-error"]);
}

#[test]
fn an_explanation_is_bounded_and_serialises() {
    let many: String = (0..100)
        .map(|i| {
            format!("@id(\"p{i}\") @reason(\"a test\") permit(principal, action, resource);\n")
        })
        .collect();
    let found = explain(&set(&many), &[], "kubectl get pods");
    assert_eq!((found.policies.len(), found.left_out), (MAX_SHOWN, 36));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["decision"], "allow");
    assert_eq!(json["policies"][0]["verdict"], "matched");
    assert_eq!(json["decidedBy"].as_array().unwrap().len(), 100);
}
