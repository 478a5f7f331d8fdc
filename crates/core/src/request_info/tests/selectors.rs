//! Field and label selectors; the cases of apimachinery's own tests among them.

use super::super::RequestInfo;
use super::super::selector::{check_labels, required_name};

#[test]
fn the_name_that_a_field_selector_requires() {
    for (selector, name) in [
        ("", None),
        (",", None),
        ("metadata.name=web", Some("web")),
        ("metadata.name==web", Some("web")),
        ("metadata.name!=web", None),
        ("metadata.name=", Some("")),
        (" metadata.name=web", None),
        ("metadata.name =web", None),
        ("metadata.name= web", Some(" web")),
        ("metadata.namespace=web", None),
        ("a=b,metadata.name=web", Some("web")),
        ("metadata.name=web,", Some("web")),
        ("metadata.name=b,metadata.name=a", Some("a")),
        ("metadata.name=b,metadata.name==c", Some("c")),
        ("metadata.name!=a,metadata.name=b", Some("b")),
        (r"metadata.name=a\,b", Some("a,b")),
        (r"metadata.name=a\=b", Some("a=b")),
        (r"metadata.name=a\\b", Some(r"a\b")),
        ("metadata.name=a!b", Some("a!b")),
        // What cannot be a path segment is no name.
        ("metadata.name=a/b", None),
        ("metadata.name=a%b", None),
        ("metadata.name=..", None),
        ("metadata.name=.", None),
        ("metadata.name=...", Some("...")),
    ] {
        assert_eq!(
            required_name(selector).unwrap().as_deref(),
            name,
            "{selector}"
        );
    }
}

#[test]
fn field_selectors_that_do_not_parse() {
    for selector in [
        "web",
        "metadata.name",
        "metadata.name=a,web",
        "a=b=c",
        "a===b",
        "a!==b",
        "a=!=b",
        r"a=\x",
        r"a=b\",
        r"a=b\,c=d",
        "a>b",
    ] {
        assert!(required_name(selector).is_err(), "{selector}");
    }
}

#[test]
fn label_selectors() {
    let long = "a".repeat(63);
    let longer = format!("{long}a");
    for (selector, fine) in [
        ("", true),
        (" ", true),
        ("x=a,y=b,z=c", true),
        ("x!=a,y=b", true),
        ("x=", true),
        ("x=,z=", true),
        ("x= ", true),
        ("x==a", true),
        ("!x", true),
        ("! x ,y", true),
        ("x>1", true),
        ("x>1,z<5", true),
        ("x>", false),
        ("x>a", false),
        ("x>-1", false),
        ("x in ()", true),
        ("x in (,)", true),
        ("x in (a,,b),y,z notin ()", true),
        ("x notin (,a)", true),
        ("x in(a)", true),
        ("xin(a)", false),
        ("in in (in,notin)", true),
        ("in", true),
        ("notin=in", true),
        ("x in (a", false),
        ("x in a", false),
        ("x in (a b)", false),
        ("x in (a)b", false),
        ("x in (!)", false),
        ("x in", false),
        ("x,,y", false),
        ("x,", false),
        (",x", false),
        ("x=a||y=b", false),
        ("x==a==b", false),
        ("x=a=b", false),
        ("!x=a", false),
        ("!", false),
        ("!!x", false),
        ("x y", false),
        ("x!a", false),
        ("=a", false),
        ("(x)", false),
        ("x=a b", false),
        ("x\t=\na\r", true),
        ("app.kubernetes.io/name=web", true),
        ("a/b/c=d", false),
        ("/b=c", false),
        ("a/=c", false),
        ("A.b/c=d", false),
        ("a..b/c=d", false),
        ("-x=a", false),
        ("x_=a", false),
        ("x=-a", false),
        ("x=ä", false),
        ("ä=x", false),
        (&long, true),
        (&longer, false),
        (&format!("x={long}"), true),
        (&format!("x={longer}"), false),
        (&format!("{}/x", "a".repeat(253)), true),
        (&format!("{}/x", "a".repeat(254)), false),
    ] {
        assert_eq!(check_labels(selector).is_ok(), fine, "{selector:?}");
    }
}

#[test]
fn a_list_with_a_selector_that_does_not_parse_is_refused() {
    for query in ["fieldSelector=metadata.name", "labelSelector=a%3Db%3Dc"] {
        for (method, path, fine) in [
            ("GET", "/api/v1/pods", false),
            ("DELETE", "/api/v1/pods", false),
            ("GET", "/api/v1/watch/pods", false),
            ("GET", "/api/v1/pods/a", true),
            ("POST", "/api/v1/pods", true),
            ("GET", "/healthz", true),
        ] {
            let info = RequestInfo::parse(method, path, Some(query));
            assert_eq!(info.is_ok(), fine, "{method} {path}?{query}");
        }
    }
}
