use super::*;
use crate::{base_sources, base_tests};

fn base() -> PolicySet {
    PolicySet::load(&base_sources()).unwrap()
}

/// The tests that stand beside the policies of the base pack; each policy has one.
#[test]
fn the_base_pack_does_what_its_tests_say() {
    let report = run(&base(), &base_tests());
    assert!(report.is_good(), "{report}");
    assert!(report.passed > 200, "only {} tests ran", report.passed);
}

fn failures(text: &str) -> Vec<(usize, String)> {
    let report = run(&base(), &[Source::new("a.md", text)]);
    report
        .failures
        .into_iter()
        .map(|failure| (failure.line, failure.text))
        .collect()
}

#[test]
fn a_test_that_is_wrong_fails() {
    let good =
        "```request\nfunctions: viewer\nkubectl get pods -n shop => allow viewer-reads\n```\n";
    assert_eq!(failures(good), []);
    for (wrong, why) in [
        (
            "deny",
            "expected deny by no policy, but came allow by viewer-reads",
        ),
        (
            "allow",
            "expected allow by no policy, but came allow by viewer-reads",
        ),
        (
            "allow viewer-reads discovery",
            "expected allow by discovery, viewer-reads, but came",
        ),
        (
            "hold viewer-reads (mfa)",
            "expected hold by viewer-reads (needs mfa), but came",
        ),
        ("400", "expected 400, but the request can be read"),
        ("yes", "`yes` is not a decision"),
    ] {
        let found = failures(&good.replace("allow viewer-reads", wrong));
        assert_eq!(found.len(), 1, "{wrong}");
        assert_eq!(found[0].0, 3);
        assert!(found[0].1.contains(why), "{}", found[0].1);
    }
}

#[test]
fn what_cannot_be_read_is_a_failure_and_not_passed_over() {
    for (text, line) in [
        ("```request\nkubectl get pods\n```\n", 2),
        ("```request\nfunction: viewer\n```\n", 2),
        ("```request\nkubectl frobnicate x => deny\n```\n", 2),
        (
            "\n```request\nkubectl get pods => deny | job function `viewer`\n",
            2,
        ),
    ] {
        let found = failures(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].0, line, "{text}");
    }
}

#[test]
fn other_fences_are_prose() {
    assert_eq!(
        failures("```sh\nkubectl get pods\n```\n\n```request\n# why\n```\n"),
        []
    );
    assert_eq!(
        failures("````md\n```request\nnot a test\n```\n````\n").len(),
        0
    );
}

#[test]
fn a_policy_without_a_test_is_named() {
    let report = run(&base(), &[]);
    assert_eq!(report.untested.len(), base().policies().count());
    assert!(!report.is_good());
}

/// The policy that the README shows does what the tests that it shows say.
#[test]
fn the_example_of_the_readme_works() {
    let readme = include_str!("../../../../policies/README.md");
    let between = |from: &str, to: &str| {
        let (_, rest) = readme.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let mut sources = base_sources();
    sources.push(Source::new("example.cedar", between("```cedar\n", "```")));
    let set = PolicySet::load(&sources).unwrap();
    assert_eq!(set.lint(), []);
    let tests = Source::new("example.md", between("````markdown\n", "````"));
    let report = run(&set, &[tests]);
    assert_eq!((report.passed, report.failures), (2, vec![]));
    let report = run(&set, &[Source::new("README.md", readme)]);
    assert_eq!(
        (report.passed, report.failures),
        (0, vec![]),
        "shown, not run"
    );
}
