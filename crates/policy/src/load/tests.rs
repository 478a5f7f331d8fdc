use super::*;
use crate::base_sources;

fn problems(text: &str) -> Vec<(usize, String)> {
    match PolicySet::load(&[Source::new("a.cedar", text)]) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let problems = error.problems().iter();
            problems.map(|p| (p.line, p.text.clone())).collect()
        }
    }
}

const ANY: &str = "permit(principal, action, resource);";

#[test]
fn every_kind_of_action_is_in_the_schema_and_no_other() {
    let schema: Schema = SCHEMA.parse().unwrap();
    let groups: HashSet<String> = schema
        .action_groups()
        .map(|uid| uid.id().unescaped().to_owned())
        .collect();
    let in_schema: HashSet<String> = schema
        .actions()
        .map(|uid| uid.id().unescaped().to_owned())
        .filter(|id| !groups.contains(id))
        .collect();
    let kinds: HashSet<String> = ActionKind::ALL
        .iter()
        .filter(|kind| **kind != ActionKind::Unknown)
        .map(|kind| kind.as_str().to_owned())
        .collect();
    assert_eq!(in_schema, kinds);
    assert_eq!(
        groups,
        ["read", "write", "stream"].map(str::to_owned).into()
    );
}

#[test]
fn action_groups_stand_for_their_members() {
    let text =
        "@id(\"x\") @reason(\"a test\") permit(principal, action in Action::\"read\", resource);";
    let set = PolicySet::load(&[Source::new("a.cedar", text)]).unwrap();
    let actions: Vec<&str> = set.policies[0]
        .scope
        .actions
        .iter()
        .map(|a| a.as_str())
        .collect();
    assert_eq!(actions, ["get", "list", "watch", "log"]);
}

#[test]
fn the_base_pack_loads_without_a_warning() {
    let set = PolicySet::load(&base_sources()).unwrap();
    assert_eq!(set.lint(), []);
    for policy in set.policies() {
        assert_eq!(
            policy.file,
            format!("base/{}.cedar", policy.id),
            "one policy a file"
        );
        if policy.effect == Effect::Forbid && policy.satisfy.is_empty() {
            assert!(policy.remedy.is_some(), "{} says what to do", policy.id);
        }
    }
}

#[test]
fn annotations_are_checked() {
    for (annotations, wrong) in [
        ("@reason(\"a test\")", "needs `@id"),
        ("@id(\"\") @reason(\"a test\")", "needs `@id"),
        ("@id(\"A\") @reason(\"a test\")", "needs `@id"),
        (
            "@id(\"evaluation-error\") @reason(\"a test\")",
            "which the program itself uses",
        ),
        ("@id(\"x\")", "needs `@reason"),
        ("@id(\"x\") @reason(\"word\")", "write a sentence"),
        ("@id(\"x\") @reason(\"It ends.\")", "full stop"),
        ("@id(\"x\") @reason(\"a <b> c\")", "leave out <"),
        (
            "@id(\"x\") @reason(\"a \\u{1b}[31m red\")",
            "control characters",
        ),
        (
            "@id(\"x\") @reason(\"a test\") @satisfy(\"approval\")",
            "only a forbid",
        ),
        (
            "@id(\"x\") @reason(\"a test\") @remedy(\"do it\")",
            "which is for forbids",
        ),
        (
            "@id(\"x\") @reason(\"a test\") @satify(\"approval\")",
            "`@satify`, which nothing reads",
        ),
    ] {
        let found = problems(&format!("\n{annotations}\n{ANY}"));
        assert_eq!(found.len(), 1, "{annotations}: {found:?}");
        assert_eq!(found[0].0, 2, "{annotations}");
        assert!(found[0].1.contains(wrong), "{}", found[0].1);
    }
    let forbid = |satisfy: &str| {
        problems(&format!(
            "@id(\"x\") @reason(\"a test\") @satisfy(\"{satisfy}\") forbid(principal, action, resource);"
        ))
    };
    assert_eq!(forbid("approval, mfa"), []);
    for bad in ["", "approvals", "approval,approval", "approval,"] {
        assert_eq!(forbid(bad).len(), 1, "{bad}");
    }
}

#[test]
fn problems_say_file_and_line() {
    for (text, line, part) in [
        (
            "\n\npermit(principal, action, resource)",
            3,
            "unexpected end of input",
        ),
        ("\npermit(principle, action, resource);", 2, "principal"),
        (
            "@id(\"x\") @reason(\"a test\")\npermit(principal, action, resource)\nwhen { context.colour == 1 };",
            3,
            "colour",
        ),
        (
            "@id(\"x\") @reason(\"a test\")\npermit(principal, action == Action::\"fetch\", resource);",
            2,
            "fetch",
        ),
        (
            "\n@id(\"x\") @reason(\"a test\")\npermit(principal, action, resource)\nwhen { resource.name == \"a\" };",
            4,
            "name",
        ),
        (
            "@id(\"x\") @reason(\"a test\")\npermit(principal == ?principal, action, resource);",
            1,
            "template slot",
        ),
        (
            "@id(\"x\") @reason(\"a test\")\npermit(principal, action, resource is Object) when { resource.name == 1 };",
            2,
            "",
        ),
        (
            "@id(\"x\") @reason(\"a test\") permit(principal, action, resource);\n\n@id(\"x\") @reason(\"another\") forbid(principal, action, resource);",
            3,
            "a.cedar:1 too",
        ),
    ] {
        let found = problems(text);
        assert!(!found.is_empty(), "{text}");
        assert_eq!(found[0].0, line, "{text}: {found:?}");
        assert!(
            found.iter().any(|(_, why)| why.contains(part)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn letters_that_look_like_others_are_refused() {
    // A Cyrillic `а` in `pаds`, and an invisible character.
    for name in ["p\u{430}ds", "pods\u{200b}", "\u{202e}sdop", "pods\u{8}"] {
        let text = format!(
            "@id(\"x\") @reason(\"a test\") permit(principal, action, resource is Object) when {{ resource.resource == \"{name}\" }};"
        );
        assert_eq!(problems(&text).len(), 1, "{name:?}");
    }
}

#[test]
fn all_problems_of_all_files_come_at_once_and_nothing_is_loaded() {
    let error = PolicySet::load(&[
        Source::new(
            "good.cedar",
            "@id(\"x\") @reason(\"a test\") permit(principal, action, resource);",
        ),
        Source::new("a.cedar", "permit("),
        Source::new("b.cedar", ANY),
        Source::new("notes.txt", "hello"),
        Source::new("tests.md", "permit("),
    ])
    .unwrap_err();
    let files: Vec<&str> = error.problems().iter().map(|p| p.file.as_str()).collect();
    assert_eq!(files, ["a.cedar", "b.cedar", "b.cedar", "notes.txt"]);
    assert!(error.to_string().contains("\nb.cedar:1: "));
}

#[test]
fn the_same_policies_have_the_same_version() {
    let one = Source::new(
        "1.cedar",
        "@id(\"a\") @reason(\"a test\") permit(principal, action, resource);",
    );
    let two = Source::new(
        "2.cedar",
        "@id(\"b\") @reason(\"a test\") permit(principal, action, resource);",
    );
    let version = |sources: &[&Source]| {
        let sources: Vec<Source> = sources.iter().map(|s| (*s).clone()).collect();
        PolicySet::load(&sources).unwrap().version().to_owned()
    };
    assert_eq!(version(&[&one, &two]), version(&[&two, &one]));
    assert_ne!(version(&[&one, &two]), version(&[&one]));
    let hex = version(&[]);
    assert!(
        hex.len() == 12 && hex.bytes().all(|b| b.is_ascii_hexdigit()),
        "{hex}"
    );
}

#[test]
fn deep_and_long_policies_are_refused_and_do_no_harm() {
    let head = "@id(\"x\") @reason(\"a test\") permit(principal, action, resource) when {";
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!(
            "{head} {}{inner}{} }};",
            open.repeat(times),
            close.repeat(times)
        )
    };
    let chain = |operator: &str, times| {
        format!(
            "{head} {} }};",
            vec!["context.dryRun"; times].join(operator)
        )
    };
    for text in [
        nested("(", "true", ")", 5000),
        nested("[", "1", "]", 5000),
        nested("{a:", "1", "}", 5000),
        nested("!", "true", "", 5000),
        nested("if context.dryRun then ", "true", " else false", 5000),
        nested("!(", "true", ")", 5000),
        chain(" && ", 3000),
        chain(" || ", 3000),
        format!("{head} context{} }};", ".a".repeat(5000)),
        format!("{head} 1{} > 1 }};", " + 1".repeat(5000)),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.len() < 1000);
    }
    // What is just allowed loads: 28 more brackets, and 250 operators beside 250 dots.
    assert_eq!(problems(&nested("!!!!(", "true", ")", 28)), []);
    assert_eq!(problems(&chain(" && ", 170)), []);
    assert_eq!(problems(&chain(" || ", 170)), []);
}
