use super::*;

fn resources(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Rule {
    Rule::resources(verbs, groups, resources)
}

#[test]
fn one_rule_must_cover_an_atom_whole() {
    let owner = [
        resources(&["get", "list"], &[""], &["pods"]),
        resources(&["delete"], &[""], &["pods"]).named(&["a"]),
        resources(&["delete"], &[""], &["pods"]).named(&["b"]),
    ];
    assert!(covers(&owner, &[resources(&["list"], &[""], &["pods"])]));
    assert!(covers(
        &owner,
        &[resources(&["delete"], &[""], &["pods"]).named(&["a", "b"])]
    ));
    let everything = [resources(&["delete"], &[""], &["pods"])];
    assert_eq!(missing(&owner, &everything), everything);
    assert!(!covers(&owner, &[resources(&["*"], &[""], &["pods"])]));
}

#[test]
fn stars_cover_and_are_not_covered_by_lists() {
    let star = [resources(&["*"], &["*"], &["*"])];
    assert!(covers(&star, &[resources(&["x"], &["y"], &["z/*"])]));
    assert!(covers(&star, &star));
    assert!(!covers(&[resources(&["*"], &["", "apps"], &["*"])], &star));
    let scale = [resources(&["get"], &["apps"], &["*/scale"])];
    let one = [resources(&["get"], &["apps"], &["deployments/scale"])];
    assert!(covers(&scale, &one));
    assert!(!covers(&one, &scale));
    let below = [resources(&["get"], &["apps"], &["deployments/*"])];
    assert!(!covers(&below, &one));
    let pods = [resources(&["get"], &[""], &["pods"])];
    assert!(!covers(&pods, &[resources(&["get"], &[""], &["pods/log"])]));
}

#[test]
fn paths_cover_by_prefix() {
    let owner = [Rule::paths(&["get"], &["/apis/*"])];
    assert!(covers(
        &owner,
        &[Rule::paths(&["get"], &["/apis/apps", "/apis/x*"])]
    ));
    assert!(!covers(&owner, &[Rule::paths(&["get"], &["/apis"])]));
    assert!(!covers(&owner, &[Rule::paths(&["get"], &["*"])]));
    assert!(!covers(
        &[resources(&["*"], &["*"], &["*"])],
        &[Rule::paths(&["get"], &["/"])]
    ));
}

#[test]
fn a_scope_covers_what_is_in_it() {
    let pods = || vec![resources(&["get"], &[""], &["pods"])];
    let in_scope = |scope: &Scope| ScopedRules::from([(scope.clone(), pods())]);
    let (cluster, shop, bank) = (Scope::Cluster, Scope::of("shop"), Scope::of("bank"));
    let covered = |owner, servant| missing_in_scopes(&in_scope(owner), &in_scope(servant));
    assert!(covered(&cluster, &shop).is_empty());
    assert!(covered(&shop, &shop).is_empty());
    assert_eq!(covered(&shop, &bank).len(), 1);
    assert_eq!(covered(&shop, &cluster).len(), 1);
}

#[test]
fn a_rule_without_an_atom_is_always_covered() {
    assert!(covers(&[], &[Rule::paths(&[], &["/x"])]));
    assert!(covers(&[], &[resources(&["get"], &[], &["pods"])]));
}
