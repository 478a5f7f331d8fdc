//! The cases of `k8s.io/apiserver/pkg/endpoints/request/requestinfo_test.go`.

use super::*;

#[test]
fn resource_paths() {
    check(&[
        (
            "GET",
            "/api/v1/namespaces",
            "list api - v1 - namespaces - - namespaces",
        ),
        (
            "GET",
            "/api/v1/namespaces/other",
            "get api - v1 other namespaces - other namespaces/other",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods",
            "list api - v1 other pods - - pods",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods/foo",
            "get api - v1 other pods - foo pods/foo",
        ),
        (
            "HEAD",
            "/api/v1/namespaces/other/pods/foo",
            "get api - v1 other pods - foo pods/foo",
        ),
        ("GET", "/api/v1/pods", "list api - v1 - pods - - pods"),
        ("HEAD", "/api/v1/pods", "list api - v1 - pods - - pods"),
    ]);
}

#[test]
fn special_verbs() {
    check(&[
        (
            "GET",
            "/api/v1/proxy/namespaces/other/pods/foo",
            "proxy api - v1 other pods - foo pods/foo",
        ),
        (
            "GET",
            "/api/v1/proxy/namespaces/other/pods/foo/subpath/not/a/subresource",
            "proxy api - v1 other pods - foo pods/foo/subpath/not/a/subresource",
        ),
        (
            "GET",
            "/api/v1/watch/pods",
            "watch api - v1 - pods - - pods",
        ),
        (
            "GET",
            "/api/v1/pods?watch=true",
            "watch api - v1 - pods - - pods",
        ),
        (
            "GET",
            "/api/v1/pods?watch=false",
            "list api - v1 - pods - - pods",
        ),
        (
            "GET",
            "/api/v1/watch/namespaces/other/pods",
            "watch api - v1 other pods - - pods",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods?watch=1",
            "watch api - v1 other pods - - pods",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods?watch=0",
            "list api - v1 other pods - - pods",
        ),
    ]);
}

#[test]
fn subresources_and_verbs() {
    check(&[
        (
            "GET",
            "/api/v1/namespaces/other/pods/foo/status",
            "get api - v1 other pods status foo pods/foo/status",
        ),
        (
            "GET",
            "/api/v1/namespaces/other/pods/foo/proxy/subpath",
            "get api - v1 other pods proxy foo pods/foo/proxy/subpath",
        ),
        (
            "PUT",
            "/api/v1/namespaces/other/finalize",
            "update api - v1 other namespaces finalize other namespaces/other/finalize",
        ),
        (
            "PUT",
            "/api/v1/namespaces/other/status",
            "update api - v1 other namespaces status other namespaces/other/status",
        ),
        (
            "PATCH",
            "/api/v1/namespaces/other/pods/foo",
            "patch api - v1 other pods - foo pods/foo",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/other/pods/foo",
            "delete api - v1 other pods - foo pods/foo",
        ),
        (
            "POST",
            "/api/v1/namespaces/other/pods",
            "create api - v1 other pods - - pods",
        ),
        (
            "DELETE",
            "/api/v1/nodes",
            "deletecollection api - v1 - nodes - - nodes",
        ),
        (
            "DELETE",
            "/api/v1/namespaces",
            "deletecollection api - v1 - namespaces - - namespaces",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/other/pods",
            "deletecollection api - v1 other pods - - pods",
        ),
        (
            "DELETE",
            "/apis/extensions/v1/namespaces/other/pods",
            "deletecollection apis extensions v1 other pods - - pods",
        ),
        (
            "POST",
            "/apis/extensions/v1/namespaces/other/pods",
            "create apis extensions v1 other pods - - pods",
        ),
        (
            "POST",
            "/apis/extensions/v1beta3/namespaces/other/pods",
            "create apis extensions v1beta3 other pods - - pods",
        ),
    ]);
}

#[test]
fn paths_that_name_no_resource() {
    check(&[
        ("GET", "/", "get /"),
        ("GET", "/api/version/", "get /api/version/"),
        ("GET", "/apis/group/version/", "get /apis/group/version/"),
        (
            "GET",
            "/badprefix/version/resource",
            "get /badprefix/version/resource",
        ),
        (
            "GET",
            "/apis/version/resource",
            "get /apis/version/resource",
        ),
        (
            "GET",
            "/not-api/version/resource",
            "get /not-api/version/resource",
        ),
        (
            "GET",
            "/apis/extensions/v1beta1",
            "get /apis/extensions/v1beta1",
        ),
        ("GET", "/api/version", "get /api/version"),
        ("GET", "/api", "get /api"),
        // The empty path is not a request.
        ("GET", "", "refused"),
    ]);
}

#[test]
fn paths_that_name_a_resource() {
    check(&[
        (
            "GET",
            "/api/version/resource",
            "list api - version - resource - - resource",
        ),
        (
            "GET",
            "/apis/group/version/resource/name/subresource",
            "get apis group version - resource subresource name resource/name/subresource",
        ),
        (
            "GET",
            "/api/version/resource/name/subresource",
            "get api - version - resource subresource name resource/name/subresource",
        ),
        (
            "GET",
            "/apis/batch/v1/job",
            "list apis batch v1 - job - - job",
        ),
        (
            "GET",
            "/apis/batch/v1/job/foo",
            "get apis batch v1 - job - foo job/foo",
        ),
        (
            "GET",
            "/apis/batch/v1/job/foo/scale",
            "get apis batch v1 - job scale foo job/foo/scale",
        ),
    ]);
}

/// Verb, name, field selector, label selector.
type Selected = (Verb, &'static str, &'static str, &'static str);

#[test]
fn selectors() {
    let cases: [(&str, &str, Option<Selected>); 10] = [
        ("GET", "", Some((Verb::List, "", "", ""))),
        (
            "GET",
            "?fieldSelector=metadata.name=name1",
            Some((Verb::List, "name1", "metadata.name=name1", "")),
        ),
        (
            "GET",
            "?watch=true&fieldSelector=metadata.name=name1",
            Some((Verb::Watch, "name1", "metadata.name=name1", "")),
        ),
        (
            "GET",
            "?fieldSelector=foo=bar&labelSelector=baz=qux",
            Some((Verb::List, "", "foo=bar", "baz=qux")),
        ),
        // Refused here; kube-apiserver judges these without the name and refuses them later.
        ("GET", "?fieldSelector=metadata.name=name1,foo", None),
        (
            "GET",
            "?fieldSelector=metadata.name=name1,foo&watch=true",
            None,
        ),
        (
            "GET",
            "?fieldSelector=metadata.name=name1,foo&watch=false",
            None,
        ),
        (
            "DELETE",
            "?fieldSelector=foo=bar&labelSelector=baz=qux",
            Some((Verb::DeleteCollection, "", "foo=bar", "baz=qux")),
        ),
        // Refused here; kube-apiserver takes the first of each.
        (
            "GET",
            "?fieldSelector=metadata.name=foo&fieldSelector=metadata.name=bar&labelSelector=foo=bar&labelSelector=foo=baz",
            None,
        ),
        (
            "GET",
            "/name?fieldSelector=foo=bar&labelSelector=foo=bar",
            Some((Verb::Get, "name", "", "")),
        ),
    ];
    for (method, tail, expected) in cases {
        check_selectors(
            method,
            &format!("/apis/group/version/resource{tail}"),
            expected,
        );
    }
    let query = "?fieldSelector=metadata.name=foo&labelSelector=foo=bar";
    for (tail, name) in [("resource", ""), ("resource/name", "name")] {
        check_selectors(
            "GET",
            &format!("/apis/group/version/watch/{tail}{query}"),
            Some((Verb::Watch, name, "", "")),
        );
    }
}

fn check_selectors(method: &str, url: &str, expected: Option<Selected>) {
    let info = parse_url(method, url).ok();
    let got = info.as_ref().map(|info| {
        let r = info.resource().unwrap();
        (
            info.verb,
            r.name.as_str(),
            r.field_selector.as_str(),
            r.label_selector.as_str(),
        )
    });
    assert_eq!(got, expected, "{url}");
}
