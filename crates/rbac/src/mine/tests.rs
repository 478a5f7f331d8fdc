use super::*;
use crate::policy::Scope;

fn uses(list: &[(&str, &str)]) -> BTreeMap<Identity, BTreeSet<Atom>> {
    let atom = |text: &str| {
        let (verb, resource) = text.split_once(' ').unwrap();
        Atom {
            scope: Scope::of("shop"),
            group: String::new(),
            resource: resource.to_owned(),
            verb: verb.to_owned(),
        }
    };
    list.iter()
        .map(|(who, what)| {
            let atoms = what.split(", ").map(atom).collect();
            (Identity::from_user_name(who), atoms)
        })
        .collect()
}

fn say(functions: &[JobFunction]) -> Vec<String> {
    let members = |f: &JobFunction| {
        let names = f.members.iter().filter_map(Identity::user_name);
        names.collect::<Vec<_>>().join(",")
    };
    functions
        .iter()
        .map(|f| format!("{}: {}", f.name, members(f)))
        .collect()
}

#[test]
fn people_who_do_nearly_the_same_have_one_function() {
    let found = mine(
        &uses(&[
            ("ana", "get pods, list pods, get pods/log"),
            ("bo", "get pods, list pods, get pods/log"),
            ("cy", "get pods, list pods, get pods/log, get secrets"),
            (
                "di",
                "patch deployments, get deployments, create pods/exec, get secrets",
            ),
        ]),
        Options::default(),
    );
    assert_eq!(
        say(&found),
        [
            "shop-pods-reader: ana,bo,cy",
            "shop-deployments-operator: di"
        ]
    );
    // What one of three does is not given to all.
    assert_eq!(found[0].atoms.len(), 3);
    assert!((found[0].precision - 1.0).abs() < 1e-9);
    assert!((found[0].recall - 0.9).abs() < 1e-9);
    assert!((found[0].cohesion - 0.75).abs() < 1e-9);
    assert!(found[0].conflicts.is_empty());
    assert_eq!(found[1].conflicts, [Conflict::SecretsAndExec]);
}

#[test]
fn who_did_nothing_has_no_function_and_names_differ() {
    let mut used = uses(&[("ana", "get pods"), ("bo", "list pods")]);
    used.insert(Identity::from_user_name("idle"), BTreeSet::new());
    let found = mine(&used, Options::default());
    assert_eq!(
        say(&found),
        ["shop-pods-reader: ana", "shop-pods-reader-2: bo"]
    );
    assert!(mine(&BTreeMap::new(), Options::default()).is_empty());
}

#[test]
fn everybody_is_in_one_function_whatever_the_limit() {
    let used = uses(&[("a", "get pods"), ("b", "get nodes"), ("c", "get pods")]);
    for most_groups in 0..3 {
        let options = Options {
            most_groups,
            ..Options::default()
        };
        let found = mine(&used, options);
        let members: usize = found.iter().map(|f| f.members.len()).sum();
        assert_eq!((found.len(), members), (2, 3));
    }
}

/// Jaccard: what both have, of what either has.
fn alike(one: &BTreeSet<Atom>, other: &BTreeSet<Atom>) -> f64 {
    let both = one.intersection(other).count();
    share(both, one.len() + other.len() - both)
}

/// What the search says, done the long way: every pair, after every joining.
fn the_long_way(
    used: &BTreeMap<Identity, BTreeSet<Atom>>,
    options: Options,
) -> BTreeSet<(BTreeSet<Identity>, BTreeSet<Atom>)> {
    let mut by_use: BTreeMap<&BTreeSet<Atom>, BTreeSet<Identity>> = BTreeMap::new();
    for (who, atoms) in used.iter().filter(|(_, atoms)| !atoms.is_empty()) {
        by_use.entry(atoms).or_default().insert(who.clone());
    }
    let mut groups: Vec<(BTreeSet<Identity>, BTreeSet<Atom>)> = by_use
        .into_iter()
        .map(|(atoms, members)| (members, atoms.clone()))
        .collect();
    groups.sort_by_key(|(members, _)| std::cmp::Reverse(members.len()));
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for first in 0..groups.len() {
            for second in first + 1..groups.len() {
                let alike = alike(&groups[first].1, &groups[second].1);
                if alike >= options.least_alike && best.is_none_or(|(most, ..)| alike > most) {
                    best = Some((alike, first, second));
                }
            }
        }
        let Some((_, first, second)) = best else {
            return groups.into_iter().collect();
        };
        let other = groups.remove(second);
        let (members, atoms) = &mut groups[first];
        members.extend(other.0);
        let all: BTreeSet<&Atom> = members.iter().flat_map(|m| &used[m]).collect();
        *atoms = all
            .into_iter()
            .filter(|atom| {
                let count = members.iter().filter(|m| used[m].contains(atom)).count();
                share(count, members.len()) >= options.least_used
            })
            .cloned()
            .collect();
    }
}

proptest::proptest! {
    #[test]
    fn whatever_the_uses_and_their_order_the_closest_are_joined_first(
        matrix in proptest::collection::vec(proptest::collection::vec(0..3_u8, 12), 0..14),
        turn in 0..14_usize,
    ) {
        let verbs = ["get", "list", "patch"];
        let row = |(number, row): (usize, &Vec<u8>)| {
            let atoms = (0..).zip(row).filter(|(_, uses)| **uses > 0).map(|(n, _): (usize, _)| Atom {
                scope: Scope::of("shop"),
                group: String::new(),
                resource: format!("things{}", n / 3),
                verb: verbs[n % 3].to_owned(),
            });
            (Identity::from_user_name(&format!("p{number}")), atoms.collect())
        };
        let people: Vec<(Identity, BTreeSet<Atom>)> = matrix.iter().enumerate().map(row).collect();
        let mut turned = people.clone();
        turned.rotate_left(turn.min(people.len()));
        turned.reverse();
        let used: BTreeMap<_, _> = people.into_iter().collect();
        let found = mine(&used, Options::default());
        proptest::prop_assert_eq!(&found, &mine(&turned.into_iter().collect(), Options::default()));
        let pairs: BTreeSet<_> = found.into_iter().map(|f| (f.members, f.atoms)).collect();
        proptest::prop_assert_eq!(pairs, the_long_way(&used, Options::default()));
    }
}

#[test]
fn what_is_beyond_the_bound_stays_as_it_is() {
    let used = uses(&[
        ("ana", "get pods, list pods, get pods/log"),
        ("bo", "get pods, list pods, get pods/log, get nodes"),
    ]);
    let options = |most_work| Options {
        most_work,
        ..Options::default()
    };
    assert_eq!(mine(&used, options(0)).len(), 2);
    assert_eq!(mine(&used, options(1)).len(), 1);
}
