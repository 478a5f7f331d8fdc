use std::net::IpAddr;

use kubestile_core::action::Impersonates;
use kubestile_core::context::Invocation;
use kubestile_core::identity::{Credential, IdentityKind};
use kubestile_core::session::Session;
use kubestile_core::{Absence, Known, PersonId, SessionId, Timestamp};
use uuid::Uuid;

use super::*;
use crate::kubectl_words::Typed;
use crate::{Source, base_sources};

pub(crate) fn identity(functions: &[&str]) -> Identity {
    Identity {
        name: "ana".to_owned(),
        id: PersonId::from_uuid(Uuid::from_u128(1)),
        kind: IdentityKind::Person,
        groups: Vec::new(),
        functions: functions.iter().map(|f| f.parse().unwrap()).collect(),
    }
}

/// So many people have approved.
pub(crate) fn approved(count: u8) -> Known<kubestile_core::context::Approved> {
    Known::Present(kubestile_core::context::Approved {
        access: kubestile_core::AccessId::from_random(1),
        count,
        function: None,
    })
}

pub(crate) fn context() -> Context {
    Context {
        now: Timestamp::from_secs(1_795_521_600),
        source: IpAddr::from([192, 0, 2, 7]),
        invocation: Known::Absent(Absence::NotSent),
        approval: Known::Absent(Absence::NotNeeded),
        grants: Vec::new(),
    }
}

pub(crate) fn action(line: &str) -> Action {
    let typed = Typed::parse(line).unwrap();
    typed.action("prod".parse().unwrap()).unwrap()
}

pub(crate) fn set(text: &str) -> PolicySet {
    PolicySet::load(&[Source::new("test.cedar", text)]).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn question<'a>(
    identity: &'a Identity,
    action: &'a Action,
    context: &'a Context,
) -> Question<'a> {
    Question {
        identity,
        session_age_s: 60,
        assurance: Assurance::Multi,
        action,
        context,
    }
}

/// The decision and the ids that decided.
fn ask(set: &PolicySet, functions: &[&str], action: &Action) -> String {
    let (identity, context) = (identity(functions), context());
    let outcome = set.evaluate(&question(&identity, action, &context));
    let ids: Vec<&str> = outcome.policies().iter().map(|p| p.id.as_str()).collect();
    format!("{} {}", outcome.name(), ids.join(" "))
        .trim()
        .to_owned()
}

const PERMIT: &str = r#"
    @id("p") @reason("a test permits")
    permit(principal in JobFunction::"operator", action, resource);
"#;

fn with(forbids: &str) -> PolicySet {
    set(&format!("{PERMIT}{forbids}"))
}

#[test]
fn without_policies_everything_is_denied() {
    assert_eq!(ask(&set(""), &["admin"], &action("GET /version")), "deny");
}

#[test]
fn a_forbid_that_nothing_satisfies_denies_and_is_named_alone() {
    let set = with(
        r#"
        @id("held") @reason("a test holds") @satisfy("approval")
        forbid(principal, action == Action::"delete", resource);
        @id("never") @reason("a test forbids") @remedy("do something else")
        forbid(principal, action == Action::"delete", resource);
        "#,
    );
    let (identity, context) = (identity(&["operator"]), context());
    let delete = action("kubectl delete pod a");
    let outcome = set.evaluate(&question(&identity, &delete, &context));
    assert_eq!(ask(&set, &["operator"], &delete), "deny never");
    assert_eq!(outcome.remedy(), Some("do something else"));
}

#[test]
fn a_hold_needs_a_permit_and_gathers_all_obligations() {
    let set = with(
        r#"
        @id("a") @reason("a test holds") @satisfy("approval, ticket")
        forbid(principal, action, resource);
        @id("b") @reason("a test holds") @satisfy("mfa,approval")
        forbid(principal, action, resource);
        "#,
    );
    let get = action("kubectl get pods");
    assert_eq!(ask(&set, &["viewer"], &get), "deny");
    let (identity, context) = (identity(&["operator"]), context());
    let outcome = set.evaluate(&question(&identity, &get, &context));
    assert_eq!(ask(&set, &["operator"], &get), "hold a b");
    assert_eq!(
        outcome.obligations(),
        [Obligation::Approval, Obligation::Mfa, Obligation::Ticket]
    );
}

#[test]
fn an_approval_satisfies_and_nothing_else_does() {
    let set = with(
        r#"
        @id("held") @reason("a test holds") @satisfy("approval")
        forbid(principal, action, resource) unless { context.approval };
        "#,
    );
    let (identity, get) = (identity(&["operator"]), action("kubectl get pods"));
    let mut context = context();
    context.approval = approved(1);
    let outcome = set.evaluate(&question(&identity, &get, &context));
    assert_eq!(outcome.name(), "allow");
    for absence in [
        Absence::NotConfigured,
        Absence::NotNeeded,
        Absence::NotSent,
        Absence::Failed("no store".to_owned()),
    ] {
        context.approval = Known::Absent(absence);
        let outcome = set.evaluate(&question(&identity, &get, &context));
        assert_eq!(outcome.name(), "hold");
    }
}

#[test]
fn a_policy_that_errs_denies_whatever_its_effect() {
    for erring in [
        r#"@id("e") @reason("a test errs") forbid(principal, action, resource)
           when { context.now + 9223372036854775807 > 0 };"#,
        r#"@id("e") @reason("a test errs") permit(principal, action, resource)
           when { context.now * 9223372036854775807 > 0 };"#,
        // The client sent none.
        r#"@id("e") @reason("a test errs") forbid(principal, action, resource)
           when { context.invocation.command == "kubectl drain" };"#,
    ] {
        let found = ask(&with(erring), &["operator"], &action("kubectl get pods"));
        assert_eq!(found, "deny evaluation-error", "{erring}");
    }
}

#[test]
fn what_a_client_says_of_itself_can_forbid() {
    let set = with(
        r#"@id("no-drain") @reason("a test forbids") forbid(principal, action, resource)
           when { context.invocation.command == "kubectl drain" };"#,
    );
    let (identity, get) = (identity(&["operator"]), action("kubectl get pods"));
    let mut context = context();
    for (command, expected) in [("kubectl drain", "deny"), ("kubectl get", "allow")] {
        context.invocation = Known::Present(Invocation {
            session: "s".to_owned(),
            command: command.to_owned(),
        });
        let outcome = set.evaluate(&question(&identity, &get, &context));
        assert_eq!(outcome.name(), expected, "{command}");
    }
}

#[test]
fn a_request_without_a_verb_is_denied_whatever_is_permitted() {
    let set = set(r#"@id("all") @reason("a test permits") permit(principal, action, resource);"#);
    let options = action("OPTIONS /api/v1/pods");
    assert_eq!(ask(&set, &["admin"], &options), "deny unknown-action");
    assert_eq!(
        ask(&set, &[], &action("kubectl get pods")),
        "allow all",
        "the set permits everything else"
    );
}

#[test]
fn a_job_function_counts_only_where_it_holds() {
    let set = with("");
    let get = action("kubectl get pods -n shop");
    for (function, expected) in [
        ("operator", "allow p"),
        ("operator:shop", "allow p"),
        ("operator:shop@prod", "allow p"),
        ("admin:shop", "allow p"),
        ("operator:bank", "deny"),
        ("operator:shop@dev", "deny"),
        ("viewer", "deny"),
    ] {
        assert_eq!(ask(&set, &[function], &get), expected, "{function}");
    }
    for cluster_wide in ["kubectl get pods -A", "kubectl get nodes", "GET /version"] {
        let action = action(cluster_wide);
        assert_eq!(ask(&set, &["operator:shop"], &action), "deny");
        assert_eq!(ask(&set, &["operator"], &action), "allow p");
    }
}

#[test]
fn names_of_groups_do_not_pose_as_job_functions_or_people() {
    let set = set(
        r#"@id("p") @reason("a test permits") permit(principal in JobFunction::"operator", action, resource);
           @id("q") @reason("a test permits") permit(principal == User::"root", action, resource);"#,
    );
    let get = action("kubectl get pods -n shop");
    let context = context();
    let mut posing = identity(&[]);
    posing.groups = ["operator", "JobFunction::\"operator\"", "root"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(
        set.evaluate(&question(&posing, &get, &context)).name(),
        "deny"
    );
    posing.name = "root".to_owned();
    posing.kind = IdentityKind::Pipeline;
    assert_eq!(
        set.evaluate(&question(&posing, &get, &context)).name(),
        "deny"
    );
    posing.kind = IdentityKind::Person;
    assert_eq!(
        set.evaluate(&question(&posing, &get, &context)).name(),
        "allow"
    );
}

#[test]
fn impersonation_needs_a_permit_for_each_part() {
    let set = with(
        r#"@id("as-bob") @reason("a test permits")
           permit(principal, action == Action::"impersonate", resource is Subject)
           when { resource.name == "bob" && resource.kind == "User" };
           @id("as-dev") @reason("a test permits")
           permit(principal, action == Action::"impersonate", resource is Subject)
           when { resource.name == "dev" && resource.kind == "Group" };"#,
    );
    let mut get = action("kubectl get pods -n shop");
    let mut as_who = |user: &str, groups: &[&str], functions: &[&str]| {
        get.impersonates = Some(Impersonates {
            user: user.to_owned(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        });
        ask(&set, functions, &get)
    };
    let no_operator = "viewer:shop";
    assert_eq!(
        as_who("bob", &[], &["admin:bank"]),
        "deny",
        "the action itself"
    );
    assert_eq!(
        as_who("bob", &["dev"], &[no_operator]),
        "deny",
        "the action itself"
    );
    // `p` permits everything, impersonation too, so that only the function decides.
    assert_eq!(as_who("eve", &["ops"], &["operator:shop"]), "allow p");
    assert_eq!(
        as_who("bob", &["dev"], &["operator:shop"]),
        "allow as-bob as-dev p"
    );
    assert_eq!(
        as_who("", &["dev"], &["operator:shop"]),
        "deny unreadable-target"
    );
    let many = vec!["dev"; MAX_SUBJECTS + 1];
    assert_eq!(
        as_who("bob", &many, &["operator:shop"]),
        "deny unreadable-target"
    );
}

#[test]
fn a_proof_is_given_for_an_allow_only() {
    let set = PolicySet::load(&base_sources()).unwrap();
    let context = context();
    let request = RequestId::from_uuid(Uuid::from_u128(7));
    let session = |created: i64| Session {
        id: SessionId::from_uuid(Uuid::from_u128(2)),
        identity: identity(&["operator:shop"]),
        assurance: Assurance::Code,
        key_digest: String::new(),
        client: String::new(),
        created: Timestamp::from_secs(created),
        expires: Timestamp::from_secs(created + 100_000),
        ended: None,
    };
    let decide = |line: &str, created: i64| {
        let session = session(created);
        let who = VerifiedIdentity::assertion(
            session.identity.clone(),
            &session,
            Credential::Certificate,
        );
        set.decide(request, &who, &action(line), &context)
    };
    let now = context.now.as_secs();
    let Decision::Allow(permit) = decide("kubectl exec a -n shop -- sh", now - 60) else {
        panic!("an operator may exec");
    };
    assert_eq!(permit.request(), request);
    assert_eq!(permit.policies()[0].id.as_str(), "operator-streams");
    assert_eq!(
        decide("kubectl exec a -n shop -- sh", now - 28_800).name(),
        "deny"
    );
    assert_eq!(
        decide("kubectl delete deploy a -n shop", now - 60).name(),
        "hold"
    );
}

#[test]
fn the_remedy_names_the_least_job_function_that_helps() {
    let set = PolicySet::load(&base_sources()).unwrap();
    let context = context();
    let remedy = |functions: &[&str], line: &str| {
        let (identity, action) = (identity(functions), action(line));
        let outcome = set.evaluate(&question(&identity, &action, &context));
        outcome.remedy().unwrap_or("nothing").to_owned()
    };
    let in_shop = |role: &str| {
        format!(
            "ask for the job function `{role}` in namespace `shop` with `kubestile request --role {role} -n shop`"
        )
    };
    assert_eq!(remedy(&[], "kubectl get pods -n shop"), in_shop("viewer"));
    assert_eq!(
        remedy(&[], "kubectl exec a -n shop -- sh"),
        in_shop("operator")
    );
    assert_eq!(remedy(&[], "kubectl create sa a -n shop"), in_shop("admin"));
    assert_eq!(
        remedy(&[], "kubectl get nodes"),
        "ask for the job function `viewer` in the whole cluster"
    );
    assert!(remedy(&[], "kubectl delete deploy a -n shop").contains("needs an approval"));
    assert_eq!(remedy(&["admin"], "kubectl cordon node-1"), "nothing");
}
